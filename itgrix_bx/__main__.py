"""`python -m itgrix_bx` is `itgrix-bx`."""

from itgrix_bx.cli import main

if __name__ == "__main__":
    main()
