"""Draws concrete with a crack, finds the crack, and shows both. The picture's bytes go to stdout; the
window stays until stdin is closed. With an argument, it has a trackbar of that name, which Qt writes."""

import select
import sys
import time

import cv2
import numpy as np

random = np.random.default_rng(7)
height, width = 360, 480
grain = cv2.GaussianBlur(random.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 3)
stains = cv2.resize(random.normal(0, 9, (9, 12)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
concrete = (np.clip(172 + grain + stains, 0, 255) // 8 * 8).astype(np.uint8)

steps = np.cumsum(random.normal(0, 5.5, 60)) + 150
crack = np.stack([np.linspace(24, 456, 60), np.clip(steps, 60, 300)], axis=1).astype(np.int32)
branch = crack[34] + np.cumsum(np.stack([random.uniform(2, 5, 26), random.uniform(1, 6, 26)], axis=1), axis=0)
for line, thick in ((crack, 3), (branch.astype(np.int32), 2)):
    cv2.polylines(concrete, [line.reshape(-1, 1, 2)], False, 46, thick, cv2.LINE_AA)

smooth = cv2.GaussianBlur(concrete, (0, 0), 1.5)
_, dark = cv2.threshold(smooth, 112, 255, cv2.THRESH_BINARY_INV)
dark = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
contours, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
found = [contour for contour in contours if cv2.contourArea(contour) > 150]

picture = cv2.cvtColor(concrete, cv2.COLOR_GRAY2BGR)
cv2.drawContours(picture, found, -1, (40, 40, 230), 1)
for contour in found:
    x, y, w, h = cv2.boundingRect(contour)
    cv2.rectangle(picture, (x - 4, y - 4), (x + w + 4, y + h + 4), (60, 200, 60), 2)
cv2.rectangle(picture, (0, 0), (width, 30), (32, 32, 32), -1)
label = f"cracks: {len(found)}   area: {sum(cv2.contourArea(c) for c in found):.0f} px"
cv2.putText(picture, label, (10, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)

sys.stdout.buffer.write(f"{width} {height}\n".encode() + picture.tobytes())
sys.stdout.flush()
# Now and then Qt paints nothing in the first window on a display without a window manager, however the
# program came there (8 of 508 plain docker runs): so it is opened anew every few seconds.
is_over = False
while not is_over:
    cv2.destroyAllWindows()
    cv2.namedWindow("cracks", cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    for name in sys.argv[1:]:
        cv2.createTrackbar(name, "cracks", 40, 100, lambda _: None)
    cv2.imshow("cracks", picture)
    opened = time.monotonic()
    while not is_over and time.monotonic() < opened + 4:
        cv2.waitKey(50)
        is_over = bool(select.select([sys.stdin], [], [], 0)[0])
