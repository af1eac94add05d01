"""`python -m tenk` is `tenk`."""

from tenk.cli import main

if __name__ == "__main__":
    main()
