"""Text to arrays: tokens, vocabularies, padding, windows for language models, length buckets.

    texts = data.text.joined(data.load("manual"))  # "train" and "test", split before windows
    vocabulary = data.text.Vocabulary.build(data.text.characters(texts["train"]))
    tokens = vocabulary.encode(data.text.characters(texts["train"]))
    # state carried from batch to batch
    split = data.text.streams(tokens, num_steps=35, batch_size=32)
    split = data.text.windows(tokens, num_steps=35)                  # windows in any order

Windows predict the next token: row `[T]` of "tokens" against row `[T]` of "targets", where "valid"
is True. Every token of a text but the first is a valid target exactly once.
"""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from jaxdl.data._batches import host_batch, num_batches, shuffled
from jaxdl.data._dataset import DataError, Dataset
from jaxdl.data._files import read_text

PAD, UNKNOWN = "<pad>", "<unk>"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tokens by id: the reserved ones first, at the ids of their order, then the most frequent.

    >>> vocabulary = Vocabulary.build("abracadabra")
    >>> vocabulary.tokens
    ('<pad>', '<unk>', 'a', 'b', 'r', 'c', 'd')
    >>> vocabulary.encode("bad?")
    array([3, 2, 6, 1], dtype=int32)
    """

    tokens: tuple[str, ...]
    reserved: int = 2  # how many of the first tokens are reserved

    def __post_init__(self) -> None:
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a vocabulary has each token once")
        if UNKNOWN not in self.tokens[: self.reserved]:
            raise ValueError(f"a vocabulary needs {UNKNOWN} among its reserved tokens")
        ids = {token: i for i, token in enumerate(self.tokens)}
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def build(
        cls,
        tokens: Iterable[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        reserved: Sequence[str] = (PAD, UNKNOWN),
    ) -> "Vocabulary":
        """Counts tokens; ties come in alphabetical order, so the text alone decides the ids.

        Args:
            tokens: of the training text.
            min_count: tokens seen less often are left out, and read as unknown.
            max_size: at most so many tokens, reserved ones included.
            reserved: tokens with ids 0, 1, ...; `<unk>` must be one of them.
        Raises: ValueError if nothing is left besides the reserved tokens.
        """
        counts = collections.Counter(tokens)
        for token in reserved:
            counts.pop(token, None)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = [token for token, count in ordered if count >= min_count]
        if max_size is not None:
            kept = kept[: max(0, max_size - len(reserved))]
        if not kept:
            raise ValueError(
                f"an empty vocabulary: no token of {sum(counts.values())} was seen "
                f"{min_count} times or more"
            )
        return cls((*reserved, *kept), len(reserved))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids  # type: ignore[attr-defined]

    def id(self, token: str) -> int:
        """The id of a token, that of `<unk>` if it has none."""
        ids: dict[str, int] = self._ids  # type: ignore[attr-defined]
        return ids.get(token, ids[UNKNOWN])

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Ids `[N]`, int32; tokens never seen become `<unk>` (`count_unknown` tells how many)."""
        return np.fromiter((self.id(token) for token in tokens), np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Tokens of ids."""
        return [self.tokens[int(i)] for i in ids]

    def count_unknown(self, tokens: Iterable[str]) -> int:
        """How many tokens the vocabulary lacks."""
        return sum(token not in self for token in tokens)

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the vocabulary as JSON."""
        text = json.dumps({"reserved": self.reserved, "tokens": self.tokens}, ensure_ascii=False)
        pathlib.Path(path).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Vocabulary":
        """Reads what `save` wrote. Raises: DataError if the file holds something else."""
        try:
            content = json.loads(read_text(path))
            return cls(tuple(content["tokens"]), int(content["reserved"]))
        except DataError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise DataError(f"{path}: not a vocabulary ({error})") from error


def pad_sequences(
    sequences: Sequence[Sequence[int]], length: int | None = None, *, pad_id: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts sequences to `length` (the longest by default) and fills them up with `pad_id`.

    >>> pad_sequences([[5, 6, 7], [8]], length=2)
    (array([[5, 6], [8, 0]], dtype=int32), array([2, 1], dtype=int32))

    Returns: ids `[N, length]` and the lengths `[N]` that are left, int32; the mask of real tokens
        is `np.arange(length) < lengths[:, None]`.
    """
    lengths = np.array([len(s) for s in sequences], np.int32)
    if length is None:
        length = int(lengths.max(initial=0))
    lengths = np.minimum(lengths, length)
    padded = np.full((len(sequences), length), pad_id, np.int32)
    for row, sequence, n in zip(padded, sequences, lengths, strict=True):
        row[:n] = np.asarray(sequence, np.int32)[:n]
    return padded, lengths


def windows(tokens: np.ndarray, num_steps: int, *, offset: int = 0, pad_id: int = 0) -> Dataset:
    """Cuts a text into windows that are trained on in any order (random sampling).

    Shuffled by `batches(seed=...)`, batch k is a function of (seed, k). The notes draw `offset`
    in 0..T-1 anew for each epoch; the tokens before it are then no targets.

    >>> split = windows(np.arange(6), num_steps=2)
    >>> split["tokens"].tolist(), split["targets"].tolist(), split["valid"].tolist()[-1]
    ([[0, 1], [2, 3], [4, 0]], [[1, 2], [3, 4], [5, 0]], [True, False])

    Args:
        tokens: ids `[S]`.
        num_steps: T.
        offset: where the first window starts.
    Returns: columns "tokens", "targets" and "valid", `[N, T]`; the last window is filled up.
    Raises: ValueError if the text is shorter than one window and its targets, `offset + T + 1`.
    """
    _check_text(tokens, offset + num_steps + 1)
    return _cut(tokens[offset:], 1, num_steps, pad_id)


def streams(
    tokens: np.ndarray, num_steps: int, batch_size: int, *, offset: int = 0, pad_id: int = 0
) -> Dataset:
    """Cuts a text into B parallel streams and these into windows (sequential partitioning).

    Row `k*B + b` is window k of stream b, so that batches of B in the order of the split
    (`seed=None`) continue each other, and the state after one is the state before the next.

    >>> split = streams(np.arange(9), num_steps=2, batch_size=2)  # 0 1 2 3 beside 4 5 6 7
    >>> split["tokens"].tolist(), split["start"].tolist()
    ([[0, 1], [4, 5], [2, 3], [6, 7]], [True, True, False, False])

    Returns: columns "tokens", "targets", "valid" `[K*B, T]`, and "start" `[K*B]`, True in the first
        window of a stream, where no state is to be carried over.
    Raises: ValueError if the text is shorter than one window of each stream and its targets.
    """
    _check_text(tokens, offset + num_steps * batch_size + 1)
    split = _cut(tokens[offset:], batch_size, num_steps, pad_id)
    start = np.arange(len(split)) < batch_size
    return Dataset({**split.columns, "start": start})


def _cut(tokens: np.ndarray, num_streams: int, num_steps: int, pad_id: int) -> Dataset:
    tokens = np.asarray(tokens, np.int32)
    B, T = num_streams, num_steps
    length = -(-(len(tokens) - 1) // B)  # targets of a stream
    K = -(-length // T)
    position = np.arange(B)[:, None] * length + np.arange(K * T)  # [B, K*T]
    valid = (np.arange(K * T) < length) & (position < len(tokens) - 1)
    position = np.minimum(position, len(tokens) - 2)

    def rows(values: np.ndarray) -> np.ndarray:
        return values.reshape(B, K, T).swapaxes(0, 1).reshape(K * B, T)

    return Dataset(
        {
            "tokens": rows(np.where(valid, tokens[position], pad_id)),
            "targets": rows(np.where(valid, tokens[position + 1], pad_id)),
            "valid": rows(valid),
        }
    )


def _check_text(tokens: np.ndarray, least: int) -> None:
    if np.ndim(tokens) != 1:
        raise ValueError(f"tokens need shape [S], got {np.shape(tokens)}")
    if len(tokens) < least:
        raise ValueError(
            f"a text of {len(tokens)} tokens is too short: one window of each stream and its "
            f"targets take {least}; read fewer streams, shorter windows or a longer text"
        )


def length_buckets(
    sequences: Sequence[Sequence[int]], widths: Sequence[int], *, pad_id: int = 0
) -> list[Dataset]:
    """Sorts sequences into a few fixed widths, so that a step compiles once for each.

    >>> short, long = length_buckets([[1, 2], [3, 4, 5, 6], [7]], widths=(2, 4))
    >>> short["tokens"].tolist(), short["index"].tolist(), long["tokens"].tolist()
    ([[1, 2], [7, 0]], [0, 2], [[3, 4, 5, 6]])

    Args:
        sequences: ids; longer ones than the last width are cut.
        widths: ascending.
    Returns: for each width that has any, columns "tokens" `[n, width]`, "length" `[n]`, and
        "index" `[n]`, the place in `sequences`.
    Raises: ValueError unless `widths` are positive and ascending.
    """
    if list(widths) != sorted(set(widths)) or not widths or widths[0] < 1:
        raise ValueError(f"widths must be positive and ascending, got {list(widths)}")
    lengths = np.array([len(s) for s in sequences])
    bucket = np.minimum(np.searchsorted(widths, lengths), len(widths) - 1)
    splits = []
    for b, width in enumerate(widths):
        index = np.flatnonzero(bucket == b)
        if len(index):
            tokens, kept = pad_sequences([sequences[int(i)] for i in index], width, pad_id=pad_id)
            splits.append(
                Dataset({"tokens": tokens, "length": kept, "index": index.astype(np.int32)})
            )
    return splits


def bucket_batch(
    buckets: Sequence[Dataset], k: int, *, batch_size: int, seed: int | None = None
) -> dict[str, np.ndarray]:
    """Batch k of all buckets together, a function of (seed, k): one bucket's rows at a time.

    An epoch is `num_bucket_batches`; it sees every row once, the buckets in random order.

    >>> buckets = length_buckets([[1, 2], [3, 4, 5, 6], [7]], widths=(2, 4))
    >>> [bucket_batch(buckets, k, batch_size=2)["tokens"].tolist() for k in (0, 1)]
    [[[1, 2], [7, 0]], [[3, 4, 5, 6]]]
    """
    sizes = [min(batch_size, len(split)) for split in buckets]
    counts = [num_batches(len(s), size) for s, size in zip(buckets, sizes, strict=True)]
    epoch, position = divmod(k, sum(counts))
    if seed is not None:
        position = int(shuffled(np.array([position]), sum(counts), seed, epoch)[0])
    b = int(np.searchsorted(np.cumsum(counts), position, side="right"))
    within = epoch * counts[b] + position - sum(counts[:b])
    return host_batch(buckets[b], within, batch_size=sizes[b], seed=seed)


def num_bucket_batches(buckets: Sequence[Dataset], batch_size: int) -> int:
    """Batches in one epoch over all buckets.

    >>> num_bucket_batches(length_buckets([[1, 2], [3, 4, 5, 6], [7]], widths=(2, 4)), batch_size=2)
    2
    """
    return sum(num_batches(len(s), min(batch_size, len(s))) for s in buckets)
