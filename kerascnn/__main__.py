"""`python -m kerascnn`, the same as `kerascnn`."""

from kerascnn.cli import main

if __name__ == "__main__":
    main()
