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

/// The longest pickle, in bytes. The elements of tensors are not part of it.
const MOST_BYTES: u64 = 16 << 20;

/// The most objects of a pickle.
const MOST_OBJECTS: usize = 1 << 19;

/// The longest name of a class or function, with its module, in bytes.
const LONGEST_NAME: usize = 200;

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
        reader: reader.take(MOST_BYTES),
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
    reader: std::io::Take<R>,
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// The heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<R> {
    /// Execute one operation.
    fn step(&mut self) -> Result<Step, String> {
        let [operation] = self.array()?;
        match operation {
            0x80 => self.check_protocol()?,
            0x95 => drop(self.array::<8>()?), // FRAME: the size of what follows, for buffered readers
            b'.' => return Ok(Step::Stop),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Object::Other)?,
            0x88 | 0x89 => self.push(Object::Bool(operation == 0x88))?,
            b'J' | b'K' | b'M' | 0x8a => self.integer(operation)?,
            b'G' => {
                self.array::<8>()?;
                self.push(Object::Other)?;
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e => self.text(operation)?,
            b'}' => self.push(Object::Dict(vec![]))?,
            b']' => self.push(Object::List(vec![]))?,
            0x8f => self.push(Object::Other)?, // an empty set
            b')' => self.push(Object::Tuple(vec![]))?,
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(operation - 0x84))?;
                self.push(Object::Tuple(items))?;
            }
            b't' | b'l' | b'd' | 0x91 => self.collect(operation)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.add(operation)?,
            b'q' | b'r' | 0x94 => self.memoize(operation)?,
            b'h' | b'j' => self.recall(operation)?,
            b'c' | 0x93 => self.global(operation)?,
            b'Q' => self.persistent()?,
            b'R' => self.call()?,
            0x81 => {
                self.pop_many(2)?; // the class and the arguments of `__new__`
                self.push(Object::Instance(None))?;
            }
            b'b' => self.build()?,
            other => {
                return Err(format!(
                    "has the operation {other:#04x} in its pickle, which no file of tensors needs"
                ));
            }
        }
        Ok(Step::Next)
    }

    fn check_protocol(&mut self) -> Result<(), String> {
        match self.array()? {
            [version] if version <= NEWEST_PROTOCOL => Ok(()),
            [version] => {
                Err(format!("has a pickle of protocol {version}; expected at most {NEWEST_PROTOCOL}"))
            }
        }
    }

    // Bytes.

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        let read = self.reader.read_exact(&mut bytes);
        read.map_err(|_| self.cut_short())?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, String> {
        if length > self.reader.limit() {
            return Err(format!(
                "has a text of {length} bytes in its pickle; expected at most {MOST_BYTES} in all"
            ));
        }
        let mut bytes = vec![];
        let read = self.reader.by_ref().take(length).read_to_end(&mut bytes);
        match read {
            Ok(read) if read as u64 == length => Ok(bytes),
            _ => Err(self.cut_short()),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = vec![];
        loop {
            match self.array()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] if line.len() < LONGEST_NAME => line.push(byte),
                _ => return Err(malformed()),
            }
        }
    }

    fn cut_short(&self) -> String {
        match self.reader.limit() {
            0 => format!("has a pickle of more than {MOST_BYTES} bytes"),
            _ => "is cut short or not a PyTorch file; copy it again".to_string(),
        }
    }

    fn integer(&mut self, operation: u8) -> Result<(), String> {
        let number = match operation {
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            b'K' => i64::from(self.array::<1>()?[0]),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            _ => {
                let [length] = self.array()?;
                let digits = self.bytes(length.into())?;
                let Some(number) = signed(&digits) else { return self.push(Object::Other) };
                number
            }
        };
        self.push(Object::Int(number))
    }

    fn text(&mut self, operation: u8) -> Result<(), String> {
        let length = match operation {
            0x8c | b'U' | b'C' => u64::from(self.array::<1>()?[0]),
            0x8d | 0x8e => u64::from_le_bytes(self.array()?),
            _ => u64::from(u32::from_le_bytes(self.array()?)),
        };
        let bytes = self.bytes(length)?;
        // Bytes that are not text hold nothing that is read.
        self.push(String::from_utf8(bytes).map_or(Object::Other, |text| Object::Text(text.into())))
    }

    // The stack.

    fn push(&mut self, object: Object) -> Result<(), String> {
        if self.objects.len() >= MOST_OBJECTS {
            return Err(format!("has more than {MOST_OBJECTS} objects in its pickle"));
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
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
            b'q' => u32::from(self.array::<1>()?[0]),
            b'r' => u32::from_le_bytes(self.array()?),
            _ => self.memo.len() as u32,
        };
        let top = self.top()?;
        if self.memo.len() >= MOST_OBJECTS {
            return Err(format!("has more than {MOST_OBJECTS} objects in its pickle"));
        }
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Result<(), String> {
        let place = match operation {
            b'h' => u32::from(self.array::<1>()?[0]),
            _ => u32::from_le_bytes(self.array()?),
        };
        let object = self.memo.get(&place).copied().ok_or_else(malformed)?;
        self.stack.push(object);
        Ok(())
    }

    // Containers.

    /// Make a container of the objects after the mark.
    fn collect(&mut self, operation: u8) -> Result<(), String> {
        let items = self.pop_to_mark()?;
        self.push(match operation {
            b't' => Object::Tuple(items),
            b'l' => Object::List(items),
            b'd' => Object::Dict(pairs(&items)?),
            _ => Object::Other, // a frozen set
        })
    }

    /// Add objects to the container below them.
    fn add(&mut self, operation: u8) -> Result<(), String> {
        let items = match operation {
            b'a' => self.pop_many(1)?,
            b's' => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let container = self.top()?;
        match (&mut self.objects[container], operation) {
            (Object::List(list), b'a' | b'e') => list.extend(items),
            (Object::Dict(dict), b's' | b'u') => dict.extend(pairs(&items)?),
            // A set, or an object of another class that is a list or a dictionary.
            (Object::Other | Object::Instance(_), _) => {}
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Set the attributes of an object. Those of a dictionary do not matter.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let object = self.top()?;
        if let Object::Instance(attributes) = &mut self.objects[object] {
            *attributes = Some(state);
        }
        Ok(())
    }

    // Names and calls.

    fn global(&mut self, operation: u8) -> Result<(), String> {
        let name = match operation {
            b'c' => format!("{}.{}", self.line()?, self.line()?),
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
            [kind, class, ..] if &**self.as_text(kind)? == "module" => self.objects[class].clone(),
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
            ) => {
                self.stack.push(value);
                return Ok(());
            }
            ("torch.device" | "__builtin__.set" | "builtins.set", _) => Object::Other,
            (name, _) => {
                return Err(format!(
                    "calls {name:?} when it is loaded, which is not done here; save the tensors alone: \
                     torch.save(model.state_dict(), FILE)"
                ));
            }
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

fn malformed() -> String {
    "has a malformed pickle; save or copy it again".to_string()
}
