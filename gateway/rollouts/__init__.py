"""Who is in which arm of a group, and how an arm grows.

`groups` decides about one event, `stamp` writes the arm into it, `for_arm` runs a transform for one
arm. The rest carries a rollout out: `measured` and `meter` collect what happens to each arm,
`figures` and `sequential` compare the arms, `guardrails` and `machine` decide, `controller` acts,
`store` remembers, `alerts` tells. `offline` and `view` show a rollout to people.
"""
