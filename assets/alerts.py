"""Alerts on what subjects' devices send: rules on each reading as it comes, for whoever watches over the subjects.

A module of its own: another limit does not mean that every reading on record is judged anew. The limits are for showing
how a rule is declared; a study takes them from its protocol.
"""

from datetime import timedelta

from assets.wearable import WEARABLE
from lakehouse.rules import Absence, Change, Threshold
from lakehouse.streaming import Stream

WEARABLE_ALERTS = Stream(
    name="wearable",
    description="Heart rates of subjects' devices that are too high, too low or change suddenly, and silent devices.",
    owner="team:safety",
    source=WEARABLE,
    key="usubjid",
    time="event_time",
    rules=(
        Threshold("tachycardia", "heart_rate", above=130, for_=5),
        Threshold("bradycardia", "heart_rate", below=40, for_=5),
        Change("sudden_change", "heart_rate", by=60, within=timedelta(minutes=10)),
        Absence("device_silent", after=timedelta(minutes=30)),
    ),
    alerts_topic="wearable.alerts",
    webhook="alerts",
)
