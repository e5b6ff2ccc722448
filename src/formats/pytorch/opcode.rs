//! The operations of pickles that files of tensors have.

/// The version of the format, in one byte.
pub(super) const PROTO: u8 = 0x80;
/// The size of what follows, for readers with a buffer.
pub(super) const FRAME: u8 = 0x95;
/// The end; the top of the stack is the result.
pub(super) const STOP: u8 = b'.';
/// The beginning of a number of objects.
pub(super) const MARK: u8 = b'(';
pub(super) const POP: u8 = b'0';
pub(super) const POP_MARK: u8 = b'1';
pub(super) const DUP: u8 = b'2';
pub(super) const NONE: u8 = b'N';
pub(super) const TRUE: u8 = 0x88;
pub(super) const FALSE: u8 = 0x89;
/// Integers of 4, 1 and 2 bytes, and of a length in one byte.
pub(super) const INT4: u8 = b'J';
pub(super) const INT1: u8 = b'K';
pub(super) const INT2: u8 = b'M';
pub(super) const LONG: u8 = 0x8a;
pub(super) const FLOAT: u8 = b'G';
/// UTF-8 after a length of 4, 1 and 8 bytes.
pub(super) const TEXT4: u8 = b'X';
pub(super) const TEXT1: u8 = 0x8c;
pub(super) const TEXT8: u8 = 0x8d;
/// Texts of Python 2 after a length of 4 and 1 bytes.
pub(super) const OLD_TEXT4: u8 = b'T';
pub(super) const OLD_TEXT1: u8 = b'U';
/// Bytes after a length of 4, 1 and 8 bytes.
pub(super) const BYTES4: u8 = b'B';
pub(super) const BYTES1: u8 = b'C';
pub(super) const BYTES8: u8 = 0x8e;
/// Empty containers.
pub(super) const EMPTY_DICT: u8 = b'}';
pub(super) const EMPTY_LIST: u8 = b']';
pub(super) const EMPTY_SET: u8 = 0x8f;
pub(super) const EMPTY_TUPLE: u8 = b')';
/// Tuples of the last one to three objects.
pub(super) const TUPLE1: u8 = 0x85;
pub(super) const TUPLE3: u8 = 0x87;
/// Containers of the objects after the mark.
pub(super) const TUPLE: u8 = b't';
pub(super) const LIST: u8 = b'l';
pub(super) const DICT: u8 = b'd';
pub(super) const FROZEN_SET: u8 = 0x91;
/// One object, or those after the mark, into the container below.
pub(super) const APPEND: u8 = b'a';
pub(super) const APPENDS: u8 = b'e';
pub(super) const SET_ITEM: u8 = b's';
pub(super) const SET_ITEMS: u8 = b'u';
pub(super) const ADD_ITEMS: u8 = 0x90;
/// The top of the stack into the memo, at a place of 1 or 4 bytes or the next one.
pub(super) const PUT1: u8 = b'q';
pub(super) const PUT4: u8 = b'r';
pub(super) const MEMOIZE: u8 = 0x94;
/// An object of the memo, from a place of 1 or 4 bytes.
pub(super) const GET1: u8 = b'h';
pub(super) const GET4: u8 = b'j';
/// A class or function, by two lines or by two texts on the stack.
pub(super) const GLOBAL: u8 = b'c';
pub(super) const STACK_GLOBAL: u8 = 0x93;
/// The result of a call of a class, by two lines.
pub(super) const INSTANCE: u8 = b'i';
/// An object outside the pickle.
pub(super) const PERSISTENT: u8 = b'Q';
/// The result of a call.
pub(super) const REDUCE: u8 = b'R';
/// An object of a class, without a call of its `__init__`.
pub(super) const NEW_OBJECT: u8 = 0x81;
/// The attributes of an object.
pub(super) const BUILD: u8 = b'b';
