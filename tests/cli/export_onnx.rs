//! `rnn export --format onnx`: the graph with its tokenizer beside it.

use std::path::Path;

use candle_core::{DType, Device};
use rnn_zoo::bundle::read_tensors;
use rnn_zoo::formats::onnx;

use super::Folder;

#[test]
fn onnx_file_has_the_parameters_and_its_tokenizer_beside_it() {
    let folder = Folder::with_model();
    folder.done("export m --format onnx --out m.onnx");
    assert!(folder.bytes("m.tokenizer.json") == folder.bytes("m/tokenizer.json"));
    let found = onnx::decode(Path::new("m.onnx"), &folder.bytes("m.onnx")).unwrap();
    let expected = read_tensors(&folder.path("m/model.safetensors"), &Device::Cpu).unwrap();
    assert!(found.parameters.keys().eq(expected.keys()));
    for (name, tensor) in &expected {
        assert_eq!(tensor.dtype(), DType::F32);
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&found.parameters[name]), values(tensor), "{name}");
    }
    assert_eq!(serde_json::to_value(&found.config).unwrap(), folder.json("m/config.json"));
}

#[test]
fn onnx_export_replaces_files_with_force_alone_and_names_what_it_cannot_do() {
    let folder = Folder::with_model();
    folder.write("m.tokenizer.json", "mine");
    folder.refused("export m --format onnx --out m.onnx", 1, &["m.tokenizer.json: exists", "--force"]);
    folder.done("export m --format onnx --out m.onnx --force");
    folder.done("export m --format onnx --out m.onnx --force");
    folder.write("dir.onnx/file", "");
    folder.refused("export m --format onnx --out dir.onnx", 1, &["dir.onnx", "--out"]);
    folder.refused("export m --format onnx --out n.onnx --dtype f16", 2, &["--dtype", "--format"]);
    folder.refused("export m --format onnx --out missing/n.onnx", 1, &["missing/n.onnx: cannot be written"]);
    folder.done(&format!("train lstm --data text.txt --out norm --layer-norm {}", super::TINY));
    folder.refused(
        "export norm --format onnx --out n.onnx",
        1,
        &["norm: the recurrent stack has layer norm"],
    );
}

#[test]
fn int8_bundle_is_a_graph_of_a_quarter_of_the_size_and_comes_back_to_the_byte() {
    let folder = Folder::new();
    let sizes = "--hidden 120 --embedding 100 --layers 2 --batch-size 4 --bptt 8 --max-steps 3";
    folder.done(&format!("train rnnlm --data text.txt --out m {sizes}"));
    folder.done("export m --out int8 --dtype int8");
    folder.done("export m --format onnx --out m.onnx");
    folder.done("export int8 --format onnx --out int8.onnx");
    let sizes = ["m.onnx", "int8.onnx"].map(|name| folder.bytes(name).len());
    assert!(10 * sizes[1] <= 3 * sizes[0], "{sizes:?}");
    folder.done("convert int8.onnx --out back");
    assert!(folder.bytes("back/model.safetensors") == folder.bytes("int8/model.safetensors"));
    assert_eq!(folder.json("back/config.json")["stored"], "int8");
}
