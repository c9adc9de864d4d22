"""Finds cracks: dark lines that are long for their width."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Crack:
    """One crack: its box as x, y, width, height, and its length in pixels."""

    box: tuple[int, int, int, int]
    length: float


def detect(picture: np.ndarray, darker_by: int = 60, slender: float = 8.0) -> list[Crack]:
    """Cracks of a grey picture, from top to bottom.

    A dark spot counts when its outline is at least `slender` times as long as
    a round spot of its area is wide: a stain is not.
    """
    smooth = cv2.GaussianBlur(picture, (5, 5), 0)
    dark = (smooth < int(np.median(smooth)) - darker_by).astype(np.uint8)
    dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cracks = []
    for outline in outlines:
        area = cv2.contourArea(outline)
        # Along the pixels' own stairs a slope would measure too long.
        around = cv2.arcLength(cv2.approxPolyDP(outline, 2.0, True), True)
        if area >= 30 and around > slender * 2 * np.sqrt(area / np.pi):
            cracks.append(Crack(tuple(map(int, cv2.boundingRect(outline))), around / 2))
    return sorted(cracks, key=lambda crack: crack.box[1])
