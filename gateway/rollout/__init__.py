"""Rollouts: a group's test arm is grown in stages, and shrunk to nothing where it does harm.

    meter ──> figures ──> judging ──> driver ──> store, alerts, log, audit trail
    (at delivery)  (sums)   (statistics: sequential)   (machine decides what is possible)

`machine`, `figures`, `judging` and `sequential` are pure. One gateway measures and decides; who has
several worker processes is refused, as the arms are compared user by user and each of them sees
only a part of a user's events.
"""
