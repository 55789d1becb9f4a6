"""``python -m rendernoise`` is the ``rendernoise`` script."""

from rendernoise.cli import main

if __name__ == "__main__":
    main()
