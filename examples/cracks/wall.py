"""A picture of a wall: grain, a stain, and cracks of known length."""

import cv2
import numpy as np

SIZE = 480


def wall(cracks: int = 3, seed: int = 7) -> tuple[np.ndarray, float]:
    """Returns a grey picture and the length of its cracks in pixels."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIZE, SIZE), 190, np.uint8)
    cv2.circle(picture, (SIZE // 3, SIZE // 4), 45, 120, -1)
    length = 0.0
    for number in range(cracks):
        point = np.array([20.0, 140.0 + number * 110.0])
        for _ in range(20):
            step = np.array([22.0, rng.normal(0.0, 9.0)])
            after = point + step
            cv2.line(picture, tuple(point.astype(int).tolist()), tuple(after.astype(int).tolist()), 40, 3)
            length += float(np.linalg.norm(step))
            point = after
    grain = rng.normal(0.0, 6.0, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8), length
