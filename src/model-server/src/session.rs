//! ONNX Runtime: its library, one environment for the process, a session for a model, and one inference.
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, PrimitiveTensorElementType, TensorElementType, ValueType};

use crate::tensor::{Data, Datatype, Signature, Tensor};

static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// How many sessions a model gets, and how many threads each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Sessions, each of which runs one inference at a time.
    pub sessions: usize,
    /// Threads within one inference.
    pub threads: usize,
}

impl Layout {
    /// ONNX Runtime's `Run` is used by one thread at a time, so that small models get a session for each thread;
    /// a large one gets one session that uses all threads, since each session has its own copy of the weights.
    pub fn new(model_bytes: u64, threads: usize) -> Self {
        if model_bytes <= 32 * 1024 * 1024 {
            Self { sessions: threads, threads: 1 }
        } else {
            Self { sessions: 1, threads }
        }
    }
}

/// The library's path: the one given, or the first found beside this program or in the usual folders.
pub fn library(given: Option<&Path>) -> Result<PathBuf, String> {
    let hint = "set --onnxruntime or ORT_DYLIB_PATH to libonnxruntime.so of version 1.24 or newer";
    if let Some(path) = given {
        if path.is_file() {
            return Ok(path.to_owned());
        }
        return Err(format!("ONNX Runtime's library {} does not exist; {hint}", path.display()));
    }
    let program = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let usual = ["/usr/lib", "/usr/local/lib"].map(PathBuf::from);
    let folders = program.into_iter().chain(usual);
    folders
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .find(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
        })
        .map(|entry| entry.path())
        .ok_or_else(|| format!("ONNX Runtime's library was not found; {hint}"))
}

/// The environment of this process; the first call decides which library is used.
pub fn environment(library: &Path) -> Result<Environment, String> {
    let mut shared = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = shared.as_ref() {
        return Ok(environment.clone());
    }
    let unusable =
        |error: String| format!("ONNX Runtime's library {} can't be used: {error}", library.display());
    let environment = ort::environment::init_from(library)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("mlops-model-server")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    *shared = Some(environment.clone());
    Ok(environment)
}

fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(category, place, "ONNX Runtime: {message}"),
        LogLevel::Warning => tracing::warn!(category, place, "ONNX Runtime: {message}"),
        LogLevel::Info | LogLevel::Verbose => tracing::debug!(category, place, "ONNX Runtime: {message}"),
    }
}

/// Loads a model. ONNX Runtime itself refuses weights outside the model's folder.
pub fn load(environment: &Environment, model: &Path, threads: usize) -> Result<Session, ort::Error> {
    let mut builder = Session::builder(environment)?
        .with_log_level(LogLevel::Warning)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // Threads that spin for the next inference burn a pod's processor share while there is none.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?;
    builder.commit_from_file(model)
}

/// What a session takes or gives; an outlet that the protocol can't carry is refused.
pub fn signatures(kind: &str, outlets: &[Outlet]) -> Result<Vec<Signature>, String> {
    outlets.iter().map(|outlet| signature(kind, outlet)).collect()
}

fn signature(kind: &str, outlet: &Outlet) -> Result<Signature, String> {
    let name = outlet.name();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let datatype = datatype(*ty).ok_or_else(|| {
                let export = "export the model with float32, float64, integer, boolean or string tensors";
                format!("{kind} `{name}` has element type {ty}, which can't be served; {export}")
            })?;
            Ok(Signature { name: name.to_owned(), datatype, shape: shape.to_vec() })
        }
        other => Err(format!(
            "{kind} `{name}` is a {other}, not a tensor; export the model with tensors only \
             (skl2onnx: options={{\"zipmap\": False}})"
        )),
    }
}

fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// Runs one inference: `inputs` in the session's order, and the outputs at `places` back.
pub fn infer(
    session: &mut Session,
    inputs: Vec<Tensor>,
    places: &[usize],
) -> Result<Vec<Tensor>, ort::Error> {
    let inputs = inputs.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
    let outputs = session.run(inputs.as_slice())?;
    places.iter().map(|place| tensor(&outputs[*place])).collect()
}

fn value(tensor: Tensor) -> Result<SessionInputValue<'static>, ort::Error> {
    use ort::value::Tensor as Value;
    let shape = tensor.shape;
    Ok(match tensor.data {
        Data::Bool(values) => Value::from_array((shape, values))?.into(),
        Data::Uint8(values) => Value::from_array((shape, values))?.into(),
        Data::Uint16(values) => Value::from_array((shape, values))?.into(),
        Data::Uint32(values) => Value::from_array((shape, values))?.into(),
        Data::Uint64(values) => Value::from_array((shape, values))?.into(),
        Data::Int8(values) => Value::from_array((shape, values))?.into(),
        Data::Int16(values) => Value::from_array((shape, values))?.into(),
        Data::Int32(values) => Value::from_array((shape, values))?.into(),
        Data::Int64(values) => Value::from_array((shape, values))?.into(),
        Data::Fp32(values) => Value::from_array((shape, values))?.into(),
        Data::Fp64(values) => Value::from_array((shape, values))?.into(),
        Data::Bytes(values) => Value::from_string_array((shape, values.as_slice()))?.into(),
    })
}

fn tensor(value: &DynValue) -> Result<Tensor, ort::Error> {
    fn numbers<T: PrimitiveTensorElementType + Clone>(
        value: &DynValue,
        wrap: fn(Vec<T>) -> Data,
    ) -> Result<Tensor, ort::Error> {
        let (shape, values) = value.try_extract_tensor::<T>()?;
        Ok(Tensor { shape: shape.to_vec(), data: wrap(values.to_vec()) })
    }
    match value.dtype().tensor_type().and_then(datatype) {
        Some(Datatype::Bool) => numbers(value, Data::Bool),
        Some(Datatype::Uint8) => numbers(value, Data::Uint8),
        Some(Datatype::Uint16) => numbers(value, Data::Uint16),
        Some(Datatype::Uint32) => numbers(value, Data::Uint32),
        Some(Datatype::Uint64) => numbers(value, Data::Uint64),
        Some(Datatype::Int8) => numbers(value, Data::Int8),
        Some(Datatype::Int16) => numbers(value, Data::Int16),
        Some(Datatype::Int32) => numbers(value, Data::Int32),
        Some(Datatype::Int64) => numbers(value, Data::Int64),
        Some(Datatype::Fp32) => numbers(value, Data::Fp32),
        Some(Datatype::Fp64) => numbers(value, Data::Fp64),
        Some(Datatype::Bytes) => {
            let (shape, values) = value.try_extract_strings()?;
            Ok(Tensor { shape: shape.to_vec(), data: Data::Bytes(values) })
        }
        None => Err(ort::Error::new("the model answered with something that is not a tensor")),
    }
}
