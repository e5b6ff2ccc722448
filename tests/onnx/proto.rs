//! ONNX files of parts, for tests: the encoding of protocol buffers.

/// A field of bytes.
pub fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2)[..], &varint(content.len() as u64), content].concat()
}

/// A field of one number.
pub fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A node with attributes.
pub fn node(kind: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let names = |place, names: &[&str]| names.iter().flat_map(|name| field(place, name.as_bytes())).collect();
    let attributes = attributes.iter().flat_map(|attribute| field(5, attribute)).collect::<Vec<_>>();
    let parts: [Vec<u8>; 5] = [
        names(1, inputs),
        names(2, outputs),
        field(3, format!("{kind} of {}", outputs[0]).as_bytes()),
        field(4, kind.as_bytes()),
        attributes,
    ];
    field(1, &parts.concat())
}

/// An attribute of one whole number.
pub fn int(name: &str, value: i64) -> Vec<u8> {
    [field(1, name.as_bytes()), number(3, value as u64), number(20, 2)].concat()
}

/// An attribute of one float.
pub fn float(name: &str, value: f32) -> Vec<u8> {
    [field(1, name.as_bytes()), vec![2 << 3 | 5], value.to_le_bytes().to_vec(), number(20, 1)].concat()
}

/// An attribute of words.
pub fn words(name: &str, values: &[&str]) -> Vec<u8> {
    let values = values.iter().flat_map(|value| field(9, value.as_bytes())).collect();
    [field(1, name.as_bytes()), values, number(20, 8)].concat()
}

/// A tensor of floats, as a constant of the graph.
pub fn floats(name: &str, dims: &[u64], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, dims, 1, &field(9, &raw))
}

/// A tensor of whole numbers, as a constant of the graph.
pub fn integers(name: &str, dims: &[u64], values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, dims, 7, &field(9, &raw))
}

/// A tensor of elements of a type, with the fields of its elements.
pub fn tensor(name: &str, dims: &[u64], kind: u64, elements: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&size| number(1, size)).collect();
    field(5, &[dims, number(2, kind), field(8, name.as_bytes()), elements.to_vec()].concat())
}

/// An input of the graph, whose dimensions may differ from call to call.
pub fn input(name: &str, kind: u64, dims: &[&str]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|dim| field(1, &field(2, dim.as_bytes()))).collect();
    let kind = field(1, &[number(1, kind), field(2, &dims)].concat());
    field(11, &[field(1, name.as_bytes()), field(2, &kind)].concat())
}

/// An output of the graph.
pub fn output(name: &str) -> Vec<u8> {
    field(12, &field(1, name.as_bytes()))
}

/// A file with the parts of its graph, in the version `opset` of the operators.
pub fn model(opset: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), field(7, &parts.concat()), field(8, &number(2, opset))].concat()
}
