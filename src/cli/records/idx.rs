//! IDX files as MNIST and its kin come: images (or vectors) of bytes, with the labels in a second file.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

use super::{NeedsLabel, Reading, Record, Records, unzipped};

/// The type byte of unsigned bytes.
const UNSIGNED_BYTE: u8 = 8;

/// The file of the labels: the one that was named, or the one beside the images whose name differs as MNIST's do.
pub fn labels_beside(images: &Path, reading: &Reading) -> anyhow::Result<Option<PathBuf>> {
    if let Some(labels) = &reading.labels {
        return Ok(Some(labels.clone()));
    }
    let name = images.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside =
        images.with_file_name(name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1"));
    if beside != images && beside.exists() {
        return Ok(Some(beside));
    }
    match reading.needs_label {
        NeedsLabel::No => Ok(None),
        NeedsLabel::Yes => bail!("an IDX file of images needs its labels: say where they are with --labels FILE"),
    }
}

/// The records of a pair of IDX files, for a schema of one image or vector feature.
pub fn records(
    mut images: Box<dyn BufRead + Send>,
    labels: Option<PathBuf>,
    schema: &Value,
) -> anyhow::Result<Records> {
    let features = schema.get("features").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let [feature] = features else { bail!("an IDX file fits a learner with one image or vector feature") };
    let name = feature.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let axes = header(&mut images).context("the IDX file of images")?;
    let [count, ref row @ ..] = axes[..] else { bail!("the IDX file of images has no axes") };
    let elements = row.iter().try_fold(1usize, |all, &axis| all.checked_mul(axis)).unwrap_or(usize::MAX);
    ensure!((1..=1 << 24).contains(&elements), "the IDX file's rows have an absurd size");
    let mut labels = match labels {
        None => None,
        Some(file) => {
            let mut labels = unzipped(&file)?;
            let axes = header(&mut labels).context("the IDX file of labels")?;
            ensure!(axes == [count], "{} has labels for {axes:?} rows, the images are {count}", file.display());
            Some(labels)
        }
    };
    Ok(Box::new((1..=count as u64).map(move |number| {
        let mut pixels = vec![0; elements];
        images.read_exact(&mut pixels).with_context(|| format!("the images end before row {number}"))?;
        let label = match &mut labels {
            None => None,
            Some(labels) => {
                let mut label = [0];
                labels.read_exact(&mut label).with_context(|| format!("the labels end before row {number}"))?;
                Some(Value::from(label[0]))
            }
        };
        let mut inputs = Map::new();
        inputs.insert(name.clone(), Value::Array(pixels.into_iter().map(Value::from).collect()));
        Ok(Record { number, inputs, label, id: None })
    })))
}

/// Reads the header: two zero bytes, the element type, the number of axes, then each axis in four big-endian bytes.
fn header(input: &mut impl Read) -> anyhow::Result<Vec<usize>> {
    let mut start = [0; 4];
    input.read_exact(&mut start).context("is cut off in its header")?;
    let [0, 0, UNSIGNED_BYTE, axes] = start else { bail!("is no IDX file of unsigned bytes") };
    let mut sizes = Vec::with_capacity(usize::from(axes));
    for _ in 0..axes {
        let mut size = [0; 4];
        input.read_exact(&mut size).context("is cut off in its header")?;
        sizes.push(usize::try_from(u32::from_be_bytes(size)).context("has an axis beyond this machine")?);
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;

    fn idx(axes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, UNSIGNED_BYTE, u8::try_from(axes.len()).expect("few axes")];
        axes.iter().for_each(|axis| file.extend(axis.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn schema() -> Value {
        json!({"features": [{"name": "pixels", "kind": "image", "height": 1, "width": 2}]})
    }

    #[test]
    fn a_gzipped_pair_is_read_row_by_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = folder.path().join("t-images-idx3-ubyte.gz");
        let mut file = GzEncoder::new(std::fs::File::create(&images).expect("a file"), Compression::fast());
        file.write_all(&idx(&[2, 1, 2], &[1, 2, 3, 255])).expect("written");
        file.finish().expect("finished");
        std::fs::write(folder.path().join("t-labels-idx1-ubyte.gz"), idx(&[2], &[7, 8])).expect("written");
        let records = super::super::open(&images, &Reading::default(), &schema()).expect("opened");
        let rows: Vec<Record> = records.collect::<Result<_, _>>().expect("read");
        assert_eq!(rows[1].inputs["pixels"], json!([3, 255]));
        assert_eq!((rows[1].number, rows[1].label.clone()), (2, Some(json!(8))));
    }

    #[test]
    fn a_file_that_is_cut_off_or_has_no_labels_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = folder.path().join("images");
        std::fs::write(&images, idx(&[2, 1, 2], &[1, 2, 3])).expect("written");
        let reading = Reading { needs_label: NeedsLabel::No, ..Reading::default() };
        let rows: Vec<_> = super::super::open(&images, &reading, &schema()).expect("opened").collect();
        assert!(rows[0].is_ok() && rows[1].is_err());
        assert!(super::super::open(&images, &Reading::default(), &schema()).is_err());
    }
}
