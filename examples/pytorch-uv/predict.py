"""Predict with the weights of train.py; needs NumPy alone."""

import pathlib
import sys

import numpy as np

weights = pathlib.Path(__file__).with_name("line.npz")
line = np.load(weights) if weights.exists() else {"w": np.array([[2.0]]), "b": np.array([1.0])}
for text in sys.argv[1:] or ["3"]:
    print(f"f({text}) = {(float(text) * line['w'] + line['b']).item():.2f}")
