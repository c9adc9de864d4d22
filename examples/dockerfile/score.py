"""Score a line of numbers; says who runs it."""

import getpass
import os
import statistics
import sys

numbers = [float(word) for word in sys.argv[1:]] or [1.0, 2.0, 4.0]
print(f"mean {statistics.fmean(numbers):.3f} for {getpass.getuser()} ({os.getuid()}:{os.getgid()})")
