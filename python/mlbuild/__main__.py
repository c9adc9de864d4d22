"""``python -m mlbuild``: the program itself."""

import os
import sys

from .calls import program

if __name__ == "__main__":
    found = program()
    os.execv(found, [found, *sys.argv[1:]])
