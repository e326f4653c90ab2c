"""config.toml: its tables as frozen structures, read, checked and watched for changes.

`load` reads a file and gives a `model.Config`. `settings`, `admin`, `alerts` and `groups` hold the
tables; `decode` turns one table into its structure and says what is wrong with it; `checks` holds
the rules between tables. `data_dir` knows the folders of a data directory, `watch` sees a file
change.
"""
