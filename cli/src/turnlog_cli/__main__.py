"""`python -m turnlog_cli` is `turnlog`."""

from turnlog_cli.main import main

if __name__ == "__main__":
    main()
