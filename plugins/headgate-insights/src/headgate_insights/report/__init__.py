"""The report: one page that says how the product does.

`build` computes it from what config.toml keeps (`headgate_insights.saved`), `page` writes it as
HTML that needs nothing else, `shelf` keeps the reports of the job, and `post` tells people.
"""
