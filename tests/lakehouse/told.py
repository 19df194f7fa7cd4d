"""Logs of changes by chance, as tests of what they come to need them."""

import random

# A change by its start, position, number, operation, key, value and what was left out.
Told = tuple[int, str, int, str, int | None, str | None, str | None]


def by_chance(chance: random.Random, keys: int = 6) -> list[Told]:
    """A log in order, of one or two starts, some of it rejected; a change of a key is a delete and an insert."""
    told: list[Told] = []
    place = 0
    for starts in range(1, chance.choice([1, 1, 2]) + 1):
        place = place if starts == 1 else chance.randrange(60)
        for _ in range(chance.randint(1, 12)):
            place += 1
            lsn = f"{8 * place:016X}"
            if chance.random() < 0.15:
                some = chance.sample(range(keys), chance.randint(0, keys))
                words = [(starts, lsn, seq + 1, "snapshot", id_, f"s{id_ % 2}", None) for seq, id_ in enumerate(some)]
                told += words
                told += [(starts, lsn, 99, "complete", None, None, None)] if chance.random() < 0.7 else []
                continue
            for seq in range(2, 2 * chance.randint(2, 6), 2):
                id_, word = chance.randrange(keys), f"w{chance.randrange(9)}"
                what = chance.choice(["insert", "update", "keep", "delete", "move", "truncate"])
                if what == "move":
                    kept = chance.random() < 0.6
                    told.append((starts, lsn, seq, "delete", id_, None, '["word"]' if kept else None))
                    to = (id_ + chance.randint(1, keys - 1)) % keys
                    told.append(
                        (starts, lsn, seq + 1, "insert", to, None if kept else word, '["word"]' if kept else None)
                    )
                elif what == "keep":
                    told.append((starts, lsn, seq, "update", id_, None, '["word"]'))
                elif what == "truncate":
                    told += [(starts, lsn, seq, what, None, None, None)] if chance.random() < 0.3 else []
                else:
                    told.append((starts, lsn, seq, what, id_, None if what == "delete" else word, None))
    return [row for row in told if chance.random() < 0.95]
