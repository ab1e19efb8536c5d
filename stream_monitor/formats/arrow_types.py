"""What Arrow's types are read as. Behind it there are only types that every later step takes, however records mix.

Arrow cannot filter views, which are read as their plain kin. Types that can stand for far more values than they have
bytes, and those that it cannot make one of two, are not read at all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from stream_monitor.errors import InvalidRecord

_DEEPEST: Final = 32  # lists and structs in each other
_NOT_READ: Final = ("list_view", "large_list_view", "run_end_encoded", "sparse_union", "dense_union")
_VIEWS: Final = tuple(
    is_one
    for name in ("is_string_view", "is_binary_view")
    if (is_one := getattr(pa.types, name, None)) is not None  # newer than the oldest pyarrow that we run on
)


def is_view(kind: Any) -> bool:
    """Whether values of a type may share their bytes."""
    return any(is_one(kind) for is_one in _VIEWS)


@lru_cache(maxsize=1024)
def readable(schema: pa.Schema) -> tuple[pa.Schema, int]:
    """What the columns of a schema are read as, and how many values a row has, lists and dictionaries counted as one.

    InvalidRecord when one of them is not read.
    """
    fields = []
    for field in schema:
        try:
            fields.append(field.with_type(read_as(field.type)))
        except InvalidRecord as error:
            raise InvalidRecord(error.reason, f"{error.detail}, in {field.name}") from None
    return pa.schema(fields, schema.metadata), sum(_values(field.type) for field in fields)


def _values(kind: Any) -> int:
    return 1 + (sum(_values(field.type) for field in kind) if pa.types.is_struct(kind) else 0)


def read_as(kind: Any, depth: int = 0) -> Any:
    """The type that values of a type are read as, itself where nothing is in the way; InvalidRecord for none.

    >>> read_as(pa.float32()), read_as(pa.list_(pa.binary_view()))
    (DataType(float), ListType(list<item: binary>))
    """
    if depth > _DEEPEST:
        raise InvalidRecord("not_json", f"Arrow: more than {_DEEPEST} levels")
    if str(kind).startswith(_NOT_READ) or (pa.types.is_decimal(kind) and not 0 <= kind.scale <= kind.precision):
        raise _not_read(kind)
    if is_view(kind):
        return pa.string() if "string" in str(kind) else pa.binary()
    if isinstance(kind, pa.BaseExtensionType):
        inner = read_as(kind.storage_type, depth)
        return kind if inner.equals(kind.storage_type) else inner
    if pa.types.is_dictionary(kind):
        return _dictionary(kind, depth)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(read_as(field.type, depth + 1)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = kind.value_field.with_type(read_as(kind.value_type, depth + 1))
        return pa.list_(inner) if pa.types.is_list(kind) else pa.large_list(inner)
    for i in range(kind.num_fields):  # of maps, unions and lists of one size
        if not read_as(kind.field(i).type, depth + 1).equals(kind.field(i).type):
            raise _not_read(kind)
    return kind


def _dictionary(kind: Any, depth: int) -> Any:
    words = read_as(kind.value_type, depth + 1)
    if pa.types.is_null(words):  # what pandas makes of a category without a value
        return words
    if pa.types.is_nested(words) or pa.types.is_dictionary(words) or isinstance(words, pa.BaseExtensionType):
        raise _not_read(kind)
    return kind if words.equals(kind.value_type) else pa.dictionary(kind.index_type, words)


def _not_read(kind: Any) -> InvalidRecord:
    return InvalidRecord("not_json", f"Arrow: {kind} is not read")


def widened(kind: Any) -> Any:
    """A type with dictionaries that hold the words of any number of others.

    >>> widened(pa.dictionary(pa.int8(), pa.string()))
    DictionaryType(dictionary<values=string, indices=int32, ordered=0>)
    """
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(widened(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(widened(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(widened(kind.value_type)))
    return kind


def converted(array: Any, to: Any) -> Any:
    """An array, or each of its chunks, as the type that `read_as` or `widened` says."""
    kind = array.type
    if kind.equals(to):
        return array
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([converted(chunk, to) for chunk in array.chunks], to)
    if isinstance(array, pa.ExtensionArray):
        return converted(array.storage, to)
    if pa.types.is_null(to):
        return pa.nulls(len(array))
    if pa.types.is_dictionary(to):
        words = converted(array.dictionary, to.value_type)
        return pa.DictionaryArray.from_arrays(pc.cast(array.indices, to.index_type), words)
    if pa.types.is_struct(to):
        children = [converted(array.field(i), field.type) for i, field in enumerate(to)]
        return pa.StructArray.from_arrays(children, fields=list(to), mask=pc.is_null(array))
    if pa.types.is_list(to) or pa.types.is_large_list(to):
        make = pa.ListArray if pa.types.is_list(to) else pa.LargeListArray
        return make.from_arrays(array.offsets, converted(array.values, to.value_type), to, mask=pc.is_null(array))
    return pc.cast(array, to)
