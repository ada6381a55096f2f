"""Crops of raw records of just the right size: nothing is decoded or resized, so they are copied out of their shards.

By one compiled call a batch (`kernel.py`), which checks each record that is to be checked right before it copies the
crop, while the record lies in the processor's cache.
"""

from __future__ import annotations

import logging

import numpy as np

from .errors import CorruptDatasetError
from .records import Records

_log = logging.getLogger(__name__)


class Crops:
    """The crops of one domain, by sample id.

    Raises:
        BadInputError: as `kernel.compiled`.
        CorruptDatasetError: a record is not as long as a square of the stored size.
    """

    def __init__(self, records: Records, stored_size: int):
        from . import kernel  # numba: half a second that nothing else needs

        wrong = np.flatnonzero(records.lengths != 3 * stored_size**2)
        if wrong.size:
            raise CorruptDatasetError(
                f"{records.describe(wrong[0])}: {records.lengths[wrong[0]]} bytes are no pixels of {stored_size} x "
                f"{stored_size}. Convert the images again."
            )
        self._fill = kernel.compiled()
        self._records = records  # and with them the mapped files, whose addresses the kernel is given
        digest, due = kernel.digest_address(), records.due
        self._check_before = due.any() and not digest
        if self._check_before:
            _log.warning("this build of xxhash exports no XXH3_64bits: records are checked one by one, which is slower")
            due = np.zeros_like(due)
        self._known = records.addresses, records.sums, due, records.checks_every_read, digest, stored_size

    def copy(self, batch: np.ndarray, ids: np.ndarray, flips: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> None:
        """Fill `batch`, uint8 (N, h, w, 3), as `augment.cut` would with each record.

        Raises:
            CorruptDatasetError: as `Records.place`.
        """
        if self._check_before:
            for sample in ids.tolist():
                self._records.place(sample)
        failed = self._fill(batch, ids, flips, xs, ys, *self._known)
        if failed >= 0:
            raise self._records.damage(ids[failed])
