//! A reader of pickles that executes nothing.
//!
//! A pickle is a program for a stack machine that may call any function of Python. This reader knows the operations
//! that build data, and a few functions by name, whose results it makes itself: those that PyTorch calls to make
//! tensors and dictionaries. Any other call is an error. Objects of other classes are kept as their attributes.
//!
//! Memory is bounded: every operation makes at most one object, which shares texts with others and holds a bounded
//! number of bytes of its own.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use super::object::{Element, Id, Object, Pickle, Storage, View};
use super::opcode as op;
use super::pickle_bytes::{LONGEST_NAME, PickleBytes, malformed};

/// The most objects of a pickle.
const MOST_OBJECTS: usize = 1 << 19;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// The newest version of the format.
const NEWEST_PROTOCOL: u8 = 5;

/// Read one pickle from the beginning of `reader`, and not a byte more. The error is the problem alone.
///
/// # Errors
/// If it is cut short, too large, malformed, or calls a function that does not make a tensor or a dictionary.
pub(super) fn unpickle(reader: impl Read) -> Result<Pickle, String> {
    let mut machine = Machine {
        bytes: PickleBytes::new(reader),
        objects: vec![],
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
    };
    while let Step::Next = machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { objects: machine.objects, root })
}

enum Step {
    Next,
    Stop,
}

struct Machine<R> {
    bytes: PickleBytes<R>,
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// The heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<R> {
    /// Execute one operation.
    fn step(&mut self) -> Result<Step, String> {
        let [operation] = self.bytes.array()?;
        match operation {
            op::PROTO => self.check_protocol()?,
            op::FRAME => drop(self.bytes.array::<8>()?),
            op::STOP => return Ok(Step::Stop),
            op::MARK => self.mark()?,
            op::POP => drop(self.pop()?),
            op::POP_MARK => drop(self.pop_to_mark()?),
            op::DUP => self.place(self.top()?)?,
            op::NONE => self.push(Object::None)?,
            op::TRUE | op::FALSE => self.push(Object::Bool(operation == op::TRUE))?,
            op::INT4 | op::INT1 | op::INT2 | op::LONG => self.integer(operation)?,
            op::FLOAT => {
                self.bytes.array::<8>()?;
                self.push(Object::Other)?;
            }
            op::TEXT4
            | op::TEXT1
            | op::TEXT8
            | op::OLD_TEXT4
            | op::OLD_TEXT1
            | op::BYTES4
            | op::BYTES1
            | op::BYTES8 => self.text(operation)?,
            op::EMPTY_DICT => self.push(Object::Dict(vec![]))?,
            op::EMPTY_LIST => self.push(Object::List(vec![]))?,
            op::EMPTY_SET => self.push(Object::Other)?,
            op::EMPTY_TUPLE => self.push(Object::Tuple(vec![]))?,
            op::TUPLE1..=op::TUPLE3 => {
                let items = self.pop_many(usize::from(operation - op::TUPLE1) + 1)?;
                self.push(Object::Tuple(items))?;
            }
            op::TUPLE | op::LIST | op::DICT | op::FROZEN_SET => self.collect(operation)?,
            op::APPEND | op::APPENDS | op::SET_ITEM | op::SET_ITEMS | op::ADD_ITEMS => self.add(operation)?,
            op::PUT1 | op::PUT4 | op::MEMOIZE => self.memoize(operation)?,
            op::GET1 | op::GET4 => self.recall(operation)?,
            op::GLOBAL | op::STACK_GLOBAL => self.global(operation)?,
            op::INSTANCE => return Err(calls(&self.bytes.qualified_name()?)),
            op::PERSISTENT => self.persistent()?,
            op::REDUCE => self.call()?,
            op::NEW_OBJECT => {
                let parts = self.pop_many(2)?; // the class and the arguments of `__new__`
                self.push(Object::Instance { class: parts[0], attributes: None })?;
            }
            op::BUILD => self.build()?,
            other => {
                return Err(format!(
                    "has the operation {other:#04x} in its pickle, which no file of tensors needs"
                ));
            }
        }
        Ok(Step::Next)
    }

    fn check_protocol(&mut self) -> Result<(), String> {
        match self.bytes.array()? {
            [version] if version <= NEWEST_PROTOCOL => Ok(()),
            [version] => {
                Err(format!("has a pickle of protocol {version}; expected at most {NEWEST_PROTOCOL}"))
            }
        }
    }

    // Values.

    fn integer(&mut self, operation: u8) -> Result<(), String> {
        let number = match operation {
            op::INT4 => i64::from(i32::from_le_bytes(self.bytes.array()?)),
            op::INT1 => i64::from(self.bytes.array::<1>()?[0]),
            op::INT2 => i64::from(u16::from_le_bytes(self.bytes.array()?)),
            _ => {
                let [length] = self.bytes.array()?;
                let digits = self.bytes.vec(length.into())?;
                let Some(number) = signed(&digits) else { return self.push(Object::Other) };
                number
            }
        };
        self.push(Object::Int(number))
    }

    fn text(&mut self, operation: u8) -> Result<(), String> {
        let length = match operation {
            op::TEXT1 | op::OLD_TEXT1 | op::BYTES1 => u64::from(self.bytes.array::<1>()?[0]),
            op::TEXT8 | op::BYTES8 => u64::from_le_bytes(self.bytes.array()?),
            _ => u64::from(u32::from_le_bytes(self.bytes.array()?)),
        };
        let bytes = self.bytes.vec(length)?;
        // Bytes that are not text hold nothing that is read.
        self.push(String::from_utf8(bytes).map_or(Object::Other, |text| Object::Text(text.into())))
    }

    // The stack.

    /// Push a new object.
    fn push(&mut self, object: Object) -> Result<(), String> {
        check_count(self.objects.len())?;
        self.place(self.objects.len())?;
        self.objects.push(object);
        Ok(())
    }

    /// Push an object that exists.
    fn place(&mut self, id: Id) -> Result<(), String> {
        check_count(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    fn mark(&mut self) -> Result<(), String> {
        check_count(self.marks.len())?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or_else(malformed),
            false => Err(malformed()),
        }
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(malformed)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= floor => Ok(self.stack.split_off(start)),
            _ => Err(malformed()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(malformed)?;
        Ok(self.stack.split_off(mark))
    }

    fn memoize(&mut self, operation: u8) -> Result<(), String> {
        let place = match operation {
            op::PUT1 => u32::from(self.bytes.array::<1>()?[0]),
            op::PUT4 => u32::from_le_bytes(self.bytes.array()?),
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        check_count(self.memo.len())?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Result<(), String> {
        let place = match operation {
            op::GET1 => u32::from(self.bytes.array::<1>()?[0]),
            _ => u32::from_le_bytes(self.bytes.array()?),
        };
        let object = self.memo.get(&place).copied().ok_or_else(malformed)?;
        self.place(object)
    }

    // Containers.

    /// Make a container of the objects after the mark.
    fn collect(&mut self, operation: u8) -> Result<(), String> {
        let items = self.pop_to_mark()?;
        self.push(match operation {
            op::TUPLE => Object::Tuple(items),
            op::LIST => Object::List(items),
            op::DICT => Object::Dict(pairs(&items)?),
            _ => Object::Other, // a frozen set
        })
    }

    /// Add objects to the container below them.
    fn add(&mut self, operation: u8) -> Result<(), String> {
        let items = match operation {
            op::APPEND => self.pop_many(1)?,
            op::SET_ITEM => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let container = self.top()?;
        match (&mut self.objects[container], operation) {
            (Object::List(list), op::APPEND | op::APPENDS) => list.extend(items),
            (Object::Dict(dict), op::SET_ITEM | op::SET_ITEMS) => dict.extend(pairs(&items)?),
            // A set, or an object of another class that is a list or a dictionary.
            (Object::None | Object::Other | Object::Instance { .. }, _) => {}
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Set the attributes of an object. Those of a dictionary do not matter.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let object = self.top()?;
        if let Object::Instance { attributes, .. } = &mut self.objects[object] {
            *attributes = Some(state);
        }
        Ok(())
    }

    // Names and calls.

    fn global(&mut self, operation: u8) -> Result<(), String> {
        let name = match operation {
            op::GLOBAL => self.bytes.qualified_name()?,
            _ => match &self.pop_many(2)?[..] {
                &[module, name] => {
                    let (module, name) = (self.as_text(module)?, self.as_text(name)?);
                    if module.len() + name.len() >= LONGEST_NAME {
                        return Err(malformed());
                    }
                    format!("{module}.{name}")
                }
                _ => return Err(malformed()),
            },
        };
        self.push(Object::Global(name))
    }

    /// Make the object that is stored outside the pickle: a storage. Older files refer to classes of modules so, too.
    fn persistent(&mut self) -> Result<(), String> {
        let description = self.pop()?;
        let Object::Tuple(parts) = &self.objects[description] else { return Err(malformed()) };
        // Tensors of such a storage count from the place of the view.
        if parts.get(5).is_some_and(|view| matches!(self.objects[*view], Object::Tuple(_))) {
            let problem = "has a storage that is a part of another, as old versions of PyTorch write; load it in PyTorch and \
                           save it again";
            return Err(problem.to_string());
        }
        let object = match parts[..] {
            [kind, class, key, _, count, ..] if &**self.as_text(kind)? == "storage" => {
                let class = self.as_global(class)?;
                let element = Element::of_class(class.strip_prefix("torch.").unwrap_or(class));
                Object::Storage(Storage {
                    key: Rc::clone(self.as_text(key)?),
                    element,
                    count: self.as_size(count)?,
                })
            }
            [kind, class, ..] if &**self.as_text(kind)? == "module" => return self.place(class),
            _ => return Err(malformed()),
        };
        self.push(object)
    }

    /// Make the result of a function that is known.
    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let Object::Tuple(arguments) = &self.objects[arguments] else { return Err(malformed()) };
        let result = match (self.as_global(function)?, &arguments[..]) {
            ("collections.OrderedDict" | "collections.defaultdict", _) => Object::Dict(vec![]),
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                &[storage, offset, shape, stride, ..],
            ) => self.view(storage, offset, shape, stride)?,
            (
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state"
                | "torch.Size",
                &[value, ..],
            ) => return self.place(value),
            ("torch.device" | "__builtin__.set" | "builtins.set", _) => Object::Other,
            (name, _) => return Err(calls(name)),
        };
        self.push(result)
    }

    fn view(&self, storage: Id, offset: Id, shape: Id, stride: Id) -> Result<Object, String> {
        let Object::Storage(storage) = &self.objects[storage] else { return Err(malformed()) };
        let sizes = |sizes: Id| match &self.objects[sizes] {
            Object::Tuple(sizes) if sizes.len() <= MOST_DIMENSIONS => {
                sizes.iter().map(|&size| self.as_size(size)).collect::<Result<Vec<_>, _>>()
            }
            _ => Err(malformed()),
        };
        let storage = storage.clone();
        Ok(Object::Tensor(View {
            storage,
            offset: self.as_size(offset)?,
            shape: sizes(shape)?,
            stride: sizes(stride)?,
        }))
    }

    fn as_text(&self, id: Id) -> Result<&Rc<str>, String> {
        match &self.objects[id] {
            Object::Text(text) => Ok(text),
            _ => Err(malformed()),
        }
    }

    fn as_global(&self, id: Id) -> Result<&str, String> {
        match &self.objects[id] {
            Object::Global(name) => Ok(name),
            _ => Err(malformed()),
        }
    }

    fn as_size(&self, id: Id) -> Result<usize, String> {
        match self.objects[id] {
            Object::Int(number) => usize::try_from(number).map_err(|_| malformed()),
            _ => Err(malformed()),
        }
    }
}

/// Return the number of little-endian bytes with a sign; `None` if it has more than 64 bits.
fn signed(bytes: &[u8]) -> Option<i64> {
    let mut wide = if bytes.last().is_some_and(|&byte| byte >= 0x80) { [0xff; 8] } else { [0; 8] };
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    match rest {
        [] => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err(malformed()),
    }
}

fn check_count(count: usize) -> Result<(), String> {
    match count < MOST_OBJECTS {
        true => Ok(()),
        false => Err(format!("has more than {MOST_OBJECTS} objects in its pickle")),
    }
}

fn calls(name: &str) -> String {
    format!(
        "calls {name:?} when it is loaded, which is not done here; save the tensors alone: \
         torch.save(model.state_dict(), FILE)"
    )
}
