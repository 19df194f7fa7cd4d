"""What all contenders know of the tests of the task; plain Python, for environments that have nothing in common."""

# Test, unit, what is subtracted, factor to the standard unit, and what a living adult can show in it.
UNITS = (
    ("SYSBP", "mmHg", 0.0, 1.0, 40.0, 300.0),
    ("DIABP", "mmHg", 0.0, 1.0, 10.0, 200.0),
    ("PULSE", "beats/min", 0.0, 1.0, 20.0, 300.0),
    ("TEMP", "C", 0.0, 1.0, 25.0, 45.0),
    ("TEMP", "F", 32.0, 5 / 9, 25.0, 45.0),
    ("HEIGHT", "cm", 0.0, 1.0, 50.0, 250.0),
    ("HEIGHT", "in", 0.0, 2.54, 50.0, 250.0),
    ("WEIGHT", "kg", 0.0, 1.0, 20.0, 400.0),
    ("WEIGHT", "LB", 0.0, 0.4536, 20.0, 400.0),
)
# Test, unit, zero and factor.
TO_STANDARD = tuple(row[:4] for row in UNITS)
LOW = {row[0]: row[4] for row in UNITS}
HIGH = {row[0]: row[5] for row in UNITS}
