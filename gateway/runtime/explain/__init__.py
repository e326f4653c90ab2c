"""What would become of one event, told without sending anything.

`question` is what is asked, `explainer` answers it.
"""
