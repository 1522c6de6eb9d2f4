//! The Open Inference Protocol v2 as JSON: a request's bytes to tensors, and tensors to a response's bytes.
//!
//! Invariant: no IO. Memory is bounded by the size of the request.
mod data;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::ser::{SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::tensor::{Data, Datatype, Signature, Tensor, elements};

const FORM: &str = r#"send {"inputs": [{"name": …, "shape": […], "datatype": …, "data": […]}]}"#;

/// What requests are checked against, and what metadata answers.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name in the path.
    pub name: String,
    /// The version in the path and the answers, if the model has one.
    pub version: Option<String>,
    /// Every input; all are required.
    pub inputs: Vec<Signature>,
    /// Every output.
    pub outputs: Vec<Signature>,
}

/// A request that fits the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// Echoed in the response.
    pub id: Option<String>,
    /// One tensor for each of the model's inputs, in the model's order.
    pub inputs: Vec<Tensor>,
    /// The places of the outputs to return, in the order asked for.
    pub outputs: Vec<usize>,
}

/// A request that is not answered with an inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400 for what is not the protocol, 422 for what does not fit the model.
    pub status: u16,
    /// The cause, and what to change.
    pub message: String,
}

impl Refusal {
    fn malformed(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    fn unfit(message: impl Into<String>) -> Self {
        Self { status: 422, message: message.into() }
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<RequestInput<'a>>,
    #[serde(borrow, default)]
    outputs: Vec<RequestOutput<'a>>,
}

#[derive(Deserialize)]
struct RequestInput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RequestOutput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
}

/// Parameters of extensions that would change the answer's form; every other parameter is accepted and has no effect.
#[derive(Default, Deserialize)]
struct Parameters {
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    binary_data_size: Option<IgnoredAny>,
    classification: Option<IgnoredAny>,
}

impl Parameters {
    fn check(&self) -> Result<(), Refusal> {
        if self.binary_data == Some(true)
            || self.binary_data_output == Some(true)
            || self.binary_data_size.is_some()
        {
            return Err(Refusal::malformed(
                "the binary tensor extension is not supported; send and ask for JSON tensors (binary_data=False)",
            ));
        }
        if self.classification.is_some() {
            return Err(Refusal::malformed(
                "the classification extension is not supported; ask for the output's own values",
            ));
        }
        Ok(())
    }
}

/// Reads an inference request and checks it against the model.
pub fn parse(model: &Model, body: &[u8]) -> Result<Inference, Refusal> {
    let request: Request<'_> = serde_json::from_slice(body)
        .map_err(|error| Refusal::malformed(format!("not an inference request: {error}; {FORM}")))?;
    request.parameters.check()?;
    for input in &request.inputs {
        if !model.inputs.iter().any(|known| known.name == input.name) {
            return Err(unknown("input", &input.name, &model.inputs));
        }
    }
    let inputs = model.inputs.iter().map(|known| input(known, &request.inputs)).collect::<Result<_, _>>()?;
    let outputs = outputs(model, &request.outputs)?;
    Ok(Inference { id: request.id, inputs, outputs })
}

fn unknown(kind: &str, name: &str, known: &[Signature]) -> Refusal {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    Refusal::unfit(format!("the model has no {kind} `{}`; it has {}", short(name), known.join(", ")))
}

/// Names come from the client: an error message repeats no more than their beginning.
fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// The one tensor of the request for an input of the model.
fn input(known: &Signature, sent: &[RequestInput<'_>]) -> Result<Tensor, Refusal> {
    let mut same = sent.iter().filter(|input| input.name == known.name);
    let input = same.next().ok_or_else(|| Refusal::unfit(format!("input {known} is missing; send it")))?;
    if same.next().is_some() {
        return Err(Refusal::unfit(format!("input `{}` is sent more than once; send it once", known.name)));
    }
    input.parameters.check()?;
    if Datatype::from_name(&input.datatype) != Some(known.datatype) {
        return Err(Refusal::unfit(format!(
            "input `{}` has datatype {}, the model expects {}",
            known.name,
            short(&input.datatype),
            known.datatype
        )));
    }
    let fits = input.shape.len() == known.shape.len()
        && input
            .shape
            .iter()
            .zip(&known.shape)
            .all(|(size, known)| *size > 0 && (*known < 0 || size == known));
    let count = elements(&input.shape).filter(|_| fits).ok_or_else(|| {
        let shown = &input.shape[..input.shape.len().min(16)];
        Refusal::unfit(format!(
            "input `{}` has shape {shown:?}, the model expects {:?}, where -1 is any size above zero",
            known.name, known.shape
        ))
    })?;
    let Some(raw) = input.data else {
        return Err(Refusal::malformed(format!("input `{}` has no data; {FORM}", known.name)));
    };
    let data = data::parse(known.datatype, &input.shape, count, raw.get())
        .map_err(|problem| Refusal::unfit(format!("input `{}`: {problem}", known.name)))?;
    Ok(Tensor { shape: input.shape.clone(), data })
}

fn outputs(model: &Model, asked: &[RequestOutput<'_>]) -> Result<Vec<usize>, Refusal> {
    if asked.is_empty() {
        return Ok((0..model.outputs.len()).collect());
    }
    let mut places = Vec::with_capacity(asked.len().min(model.outputs.len()));
    for output in asked {
        output.parameters.check()?;
        let place = model.outputs.iter().position(|known| known.name == output.name);
        let place = place.ok_or_else(|| unknown("output", &output.name, &model.outputs))?;
        if places.contains(&place) {
            let name = &model.outputs[place].name;
            return Err(Refusal::unfit(format!("output `{name}` is asked for more than once; ask once")));
        }
        places.push(place);
    }
    Ok(places)
}

#[derive(Serialize)]
struct Response<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<ResponseOutput<'a>>,
}

#[derive(Serialize)]
struct ResponseOutput<'a> {
    name: &'a str,
    shape: &'a [i64],
    datatype: &'static str,
    data: Elements<'a>,
}

struct Elements<'a>(&'a Data);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Data::Bool(values) => values.serialize(serializer),
            Data::Uint8(values) => values.serialize(serializer),
            Data::Uint16(values) => values.serialize(serializer),
            Data::Uint32(values) => values.serialize(serializer),
            Data::Uint64(values) => values.serialize(serializer),
            Data::Int8(values) => values.serialize(serializer),
            Data::Int16(values) => values.serialize(serializer),
            Data::Int32(values) => values.serialize(serializer),
            Data::Int64(values) => values.serialize(serializer),
            Data::Bytes(values) => values.serialize(serializer),
            Data::Fp32(values) => floats(values, |value| f64::from(*value), serializer),
            Data::Fp64(values) => floats(values, |value| *value, serializer),
        }
    }
}

/// JSON has no word for values that are not finite; they are written as protobuf's JSON mapping does, as strings.
fn floats<T: Serialize, S: Serializer>(
    values: &[T],
    wide: impl Fn(&T) -> f64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(values.len()))?;
    for value in values {
        let number = wide(value);
        if number.is_finite() {
            sequence.serialize_element(value)?;
        } else if number.is_nan() {
            sequence.serialize_element("NaN")?;
        } else {
            sequence.serialize_element(if number > 0.0 { "Infinity" } else { "-Infinity" })?;
        }
    }
    sequence.end()
}

/// Writes the response: `tensors` are the outputs that the request asked for, in its order.
pub fn response(model: &Model, id: Option<&str>, places: &[usize], tensors: &[Tensor]) -> Vec<u8> {
    let outputs = places.iter().zip(tensors).map(|(place, tensor)| ResponseOutput {
        name: &model.outputs[*place].name,
        shape: &tensor.shape,
        datatype: tensor.data.datatype().name(),
        data: Elements(&tensor.data),
    });
    let version = model.version.as_deref();
    json(&Response { model_name: &model.name, model_version: version, id, outputs: outputs.collect() })
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    versions: Vec<&'a str>,
    platform: &'static str,
    inputs: Vec<MetadataTensor<'a>>,
    outputs: Vec<MetadataTensor<'a>>,
}

#[derive(Serialize)]
struct MetadataTensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [i64],
}

/// Writes the model's metadata.
pub fn metadata(model: &Model) -> Vec<u8> {
    json(&Metadata {
        name: &model.name,
        versions: model.version.iter().map(String::as_str).collect(),
        platform: "onnxruntime_onnx",
        inputs: model.inputs.iter().map(metadata_tensor).collect(),
        outputs: model.outputs.iter().map(metadata_tensor).collect(),
    })
}

fn metadata_tensor(signature: &Signature) -> MetadataTensor<'_> {
    MetadataTensor { name: &signature.name, datatype: signature.datatype.name(), shape: &signature.shape }
}

/// Writes the protocol's error object.
pub fn error(message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Error<'a> {
        error: &'a str,
    }
    json(&Error { error: message })
}

/// Every value written here has string keys and no failing part.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
