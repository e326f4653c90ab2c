"""config.toml: reads it into frozen structures, checks it and watches it for changes.

`load` reads a file and returns a `model.Config`. `settings`, `admin`, `alerts` and `groups` declare
the tables, `decode` decodes one table and explains its errors, `checks` holds the rules between
tables. `data_dir` knows the folders of a data directory, `watch` notices that a file has changed.
"""
