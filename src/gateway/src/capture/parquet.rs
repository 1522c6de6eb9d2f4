//! Files of Parquet: a row for each row of a request, a column for each of its columns, beside those of every record.
//!
//! A file has one group of rows, and further ones beyond 131,072 rows, so that a reader needs little memory; each chunk
//! of a column has its least and largest value and its nulls in the footer. Compressed with Snappy.
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::frame::{Column, Frame, Kind, RESERVED};

/// The most rows of a group.
const GROUP: usize = 131_072;

/// What all records of a file have in common.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Where they come from.
    pub(super) source: String,
    /// Their type.
    pub(super) kind: &'static str,
    /// The revision that answered.
    pub(super) revision: String,
}

/// The file of a frame.
pub(super) fn file(about: &About, frame: &Frame) -> Result<Vec<u8>> {
    file_of_groups(about, frame, GROUP)
}

fn file_of_groups(about: &About, frame: &Frame, group: usize) -> Result<Vec<u8>> {
    let mut writer = SerializedFileWriter::new(Vec::new(), schema(frame)?, Arc::new(properties(frame)))?;
    // The place in each column at which a group begins.
    let mut places = vec![0; frame.columns.len()];
    for first in (0..frame.rows).step_by(group) {
        let count = group.min(frame.rows - first);
        let mut rows = writer.next_row_group()?;
        common(&mut rows, about, frame, first, count)?;
        for (column, place) in frame.columns.iter().zip(&mut places) {
            let own = column.rows.iter().skip(*place).take_while(|row| (**row as usize) < first + count);
            let mut levels = vec![0_i16; count];
            let mut values = 0;
            for row in own {
                if let Some(level) = levels.get_mut(*row as usize - first) {
                    *level = 1;
                }
                values += 1;
            }
            cells(&mut rows, column, *place..*place + values, &levels)?;
            *place += values;
        }
        rows.close()?;
    }
    writer.into_inner()
}

fn schema(frame: &Frame) -> Result<TypePtr> {
    let text = || Some(LogicalType::String);
    let time = Some(LogicalType::timestamp(true, TimeUnit::MILLIS));
    let common = RESERVED.map(|name| match name {
        "time" => (name, Physical::INT64, time.clone(), Repetition::REQUIRED),
        "row" => (name, Physical::INT32, None, Repetition::REQUIRED),
        _ => (name, Physical::BYTE_ARRAY, text(), Repetition::REQUIRED),
    });
    let own = frame.columns.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Nothing => (Physical::INT32, Some(LogicalType::Unknown)),
            Kind::Boolean => (Physical::BOOLEAN, None),
            Kind::Small | Kind::Whole => (Physical::INT64, None),
            Kind::Number => (Physical::DOUBLE, None),
            Kind::Text => (Physical::BYTE_ARRAY, text()),
            Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        };
        (&*column.name, physical, logical, Repetition::OPTIONAL)
    });
    let fields = common.into_iter().chain(own).map(|(name, physical, logical, repetition)| {
        let field = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        field.with_repetition(repetition).build().map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Type::group_type_builder("capture").with_fields(fields).build().map(Arc::new)
}

fn properties(frame: &Frame) -> WriterProperties {
    let said = [
        ("specversion", "1.0"),
        ("datacontenttype", "application/json"),
        ("collectdatatype", "pandas.core.frame.DataFrame"),
    ];
    let said = said.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()));
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by(super::record::AGENT.to_owned())
        .set_key_value_metadata(Some(said.to_vec()));
    // Most numbers are there once: a dictionary of them would be built in vain.
    let plain = frame.columns.iter().filter(|column| matches!(column.kind, Kind::Number | Kind::Json));
    for name in plain.map(|column| &*column.name) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(vec![name.to_owned()]), false);
    }
    properties.build()
}

type Rows<'g> = SerializedRowGroupWriter<'g, Vec<u8>>;

fn write<T: DataType>(rows: &mut Rows<'_>, values: &[T::T], levels: Option<&[i16]>) -> Result<()> {
    let mut column =
        rows.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

/// The columns of every record, in the order of their names.
fn common(rows: &mut Rows<'_>, about: &About, frame: &Frame, first: usize, count: usize) -> Result<()> {
    let mut all = Vec::with_capacity(count);
    let mut start = 0;
    for (place, record) in frame.records.iter().enumerate() {
        let from = first.max(start).min(start + record.rows);
        let to = (first + count).min(start + record.rows).max(from);
        all.extend((from - start..to - start).map(|row| (place, row)));
        start += record.rows;
    }
    let text = |bytes: &str| ByteArray::from(Bytes::copy_from_slice(bytes.as_bytes()));
    // A value of each record, of which its rows hold references.
    let of_records = |value: &dyn Fn(&super::frame::Record) -> String| -> Vec<ByteArray> {
        let values: Vec<ByteArray> = frame.records.iter().map(|record| text(&value(record))).collect();
        all.iter().filter_map(|(place, _)| values.get(*place).cloned()).collect()
    };
    let same = |value: &str| vec![text(value); count];
    let times: Vec<i64> =
        all.iter().filter_map(|(place, _)| Some(frame.records.get(*place)?.at.as_millisecond())).collect();
    let ids = of_records(&|record| record.request_id.clone());
    write::<ByteArrayType>(rows, &of_records(&|record| format!("{:032x}", record.id)), None)?;
    write::<Int64Type>(rows, &times, None)?;
    write::<ByteArrayType>(rows, &same(&about.source), None)?;
    write::<ByteArrayType>(rows, &same(about.kind), None)?;
    write::<ByteArrayType>(rows, &ids, None)?;
    write::<ByteArrayType>(rows, &ids, None)?;
    write::<ByteArrayType>(rows, &same(&about.revision), None)?;
    write::<ByteArrayType>(rows, &same(super::record::AGENT), None)?;
    let numbers: Vec<i32> = all.iter().map(|(_, row)| i32::try_from(*row).unwrap_or(i32::MAX)).collect();
    write::<Int32Type>(rows, &numbers, None)
}

/// The cells of one column in a group.
fn cells(rows: &mut Rows<'_>, column: &Column, places: std::ops::Range<usize>, levels: &[i16]) -> Result<()> {
    let values = || column.values(places.start).take(places.len());
    let levels = Some(levels);
    match column.kind {
        Kind::Nothing => write::<Int32Type>(rows, &[], levels),
        Kind::Boolean => {
            write::<BoolType>(rows, &values().map(|value| value == "true").collect::<Vec<_>>(), levels)
        }
        Kind::Small | Kind::Whole => write::<Int64Type>(rows, &read(values())?, levels),
        Kind::Number => write::<DoubleType>(rows, &read(values())?, levels),
        Kind::Text => {
            let texts =
                values().map(|value| serde_json::from_str::<String>(value).map(|text| text.as_str().into()));
            let texts = texts.collect::<std::result::Result<Vec<ByteArray>, _>>();
            write::<ByteArrayType>(rows, &texts.map_err(unlike)?, levels)
        }
        Kind::Json => {
            write::<ByteArrayType>(rows, &values().map(ByteArray::from).collect::<Vec<_>>(), levels)
        }
    }
}

fn read<'c, T: std::str::FromStr>(values: impl Iterator<Item = &'c str>) -> Result<Vec<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    values.map(|value| value.parse().map_err(unlike)).collect()
}

fn unlike(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}
