"""Groups of users with two arms, and rollouts that grow the test arm.

`groups` assigns an event to an arm, `stamp` writes the arm into the event, and `for_arm` limits a
transform to one arm. The other modules run rollouts: `measured` and `meter` collect the outcomes of
each arm, `figures` and `sequential` compare the arms, `guardrails`, `decide` and `machine` decide,
`controller` acts, `store` keeps the state, and `alerts` notifies. `offline` and `view` serve the
commands and the admin API.
"""
