"""How like the true pictures translated ones are, where the truth is known: nearness, and lines in their places.

Pictures are uint8 (N, H, W, 3) RGB.
"""

import cv2
import numpy as np


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two sets of pictures, 0-255."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def ratio(made: np.ndarray, inputs: np.ndarray, true: np.ndarray) -> float:
    """How far the made pictures are from the true ones, as a share of how far the inputs are: 0 is perfect."""
    return difference(made, true) / difference(inputs, true)


def recoloured(inputs: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The inputs after the one affine change of colour that brings them nearest (least squares) to the true pictures.

    It knows the truth and draws nothing: what colour alone can do.
    """
    colours = np.concatenate([inputs.reshape(-1, 3) / 255, np.ones((inputs.size // 3, 1))], 1)
    change = np.linalg.lstsq(colours, true.reshape(-1, 3) / 255, rcond=None)[0]
    return np.clip(np.rint(colours @ change * 255), 0, 255).astype(np.uint8).reshape(inputs.shape)


def edge_correlation(made: np.ndarray, true: np.ndarray) -> float:
    """Mean over the pictures of the correlation of their edge maps, -1 to 1: are the lines where they belong?

    An edge map is the length of the gradient of the gray picture (Sobel). A flat picture correlates with nothing: 0.
    """
    return float(np.mean([_correlation(_edges(one), _edges(other)) for one, other in zip(made, true, strict=True)]))


def _edges(picture: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return np.hypot(cv2.Sobel(gray, cv2.CV_64F, 1, 0), cv2.Sobel(gray, cv2.CV_64F, 0, 1)).ravel()


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 0.0
