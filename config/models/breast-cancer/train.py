"""Trains the two versions of the demo classifier and writes the reference answers.

    python train.py           write model-v1.onnx, model-v2.onnx, digests.txt and rows.json beside this file
    python train.py --check   train again and compare with the committed models; writes nothing

The packages are those of src/xtask/tools/python/training.txt.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import numpy
import onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDER = pathlib.Path(__file__).resolve().parent
SEED = 20
REFERENCE_ROWS = 20
TOLERANCE = 1e-6


def classifiers():
    """The versions of the model: a linear one, then boosted trees."""
    return {
        "1": make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)),
        "2": GradientBoostingClassifier(n_estimators=40, max_depth=2, random_state=SEED),
    }


def split():
    """Rows are rounded to float32 first: that is what the models are fed in production."""
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(numpy.float32)
    return train_test_split(rows, labels, test_size=0.25, random_state=SEED, stratify=labels)


def export(classifier, rows):
    model = to_onnx(
        classifier,
        rows[:1],
        target_opset={"": 18, "ai.onnx.ml": 3},
        options={id(classifier): {"zipmap": False}},
    )
    # Generated names and the producer's version would change the digest without a change of the model.
    model.producer_version = ""
    model.graph.name = "breast-cancer"
    # The converter writes attributes and operator sets in the order of a set.
    operators = sorted(model.opset_import, key=lambda operator: operator.domain)
    del model.opset_import[:]
    model.opset_import.extend(operators)
    for node in model.graph.node:
        ordered = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(ordered)
    return model.SerializeToString(deterministic=True)


def predict(model, rows):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["label", "probabilities"], {"X": rows})


def reference(trained, rows):
    """Real rows as Open Inference Protocol requests, with scikit-learn's own answers of every version."""
    return {
        "inputs": "30 measurements of a cell nucleus; label 0 is malignant, 1 is benign",
        "tolerance": 1e-5,
        "rows": [
            {
                "request": {
                    "id": f"row-{index}",
                    "inputs": [
                        {"name": "X", "shape": [1, rows.shape[1]], "datatype": "FP32",
                         "data": [float(str(value)) for value in row]}
                    ],
                },
                "expected": {
                    version: {
                        "label": int(classifier.predict(row[None])[0]),
                        "probabilities": [round(float(p), 9) for p in classifier.predict_proba(row[None])[0]],
                    }
                    for version, classifier in trained.items()
                },
            }
            for index, row in enumerate(rows)
        ],
    }


def pretty(document):
    """One line for each request and answer, so that a change of one row is a change of one line."""
    rows = ",\n".join("    " + json.dumps(row) for row in document["rows"])
    head = {key: value for key, value in document.items() if key != "rows"}
    return json.dumps(head, indent=2)[:-2] + ',\n  "rows": [\n' + rows + "\n  ]\n}\n"


def write(models, trained, rows):
    digests = ""
    for version, model in models.items():
        name = f"model-v{version}.onnx"
        (FOLDER / name).write_bytes(model)
        digests += f"{hashlib.sha256(model).hexdigest()}  {name}\n"
    (FOLDER / "digests.txt").write_text(digests)
    (FOLDER / "rows.json").write_text(pretty(reference(trained, rows[:REFERENCE_ROWS])))


def check(models, rows):
    failed = False
    recorded = dict(reversed(line.split()) for line in (FOLDER / "digests.txt").read_text().splitlines())
    for version, model in models.items():
        name = f"model-v{version}.onnx"
        committed = (FOLDER / name).read_bytes()
        digest = hashlib.sha256(committed).hexdigest()
        difference = float(numpy.abs(predict(model, rows)[1] - predict(committed, rows)[1]).max())
        print(f"{name}: digest {digest}, largest difference over {len(rows)} rows {difference:.1e}")
        if digest != recorded.get(name):
            print(f"{name}: digests.txt says {recorded.get(name)}; run train.py and commit the result")
            failed = True
        if difference > TOLERANCE:
            print(f"{name}: differs from a fresh training by more than {TOLERANCE}; run train.py and commit the result")
            failed = True
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description="Trains the demo classifier.")
    parser.add_argument("--check", action="store_true", help="compare with the committed models and write nothing")
    arguments = parser.parse_args()
    train_rows, test_rows, train_labels, test_labels = split()
    trained = {version: model.fit(train_rows, train_labels) for version, model in classifiers().items()}
    models = {version: export(model, train_rows) for version, model in trained.items()}
    for version, model in models.items():
        own = trained[version].predict_proba(test_rows)
        difference = float(numpy.abs(predict(model, test_rows)[1] - own).max())
        accuracy = float((trained[version].predict(test_rows) == test_labels).mean())
        print(f"version {version}: accuracy {accuracy:.3f}, ONNX differs from scikit-learn by at most {difference:.1e}")
        if difference > 1e-5:
            print(f"version {version}: the exported model does not answer like scikit-learn")
            return 1
    if arguments.check:
        return check(models, test_rows)
    write(models, trained, test_rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
