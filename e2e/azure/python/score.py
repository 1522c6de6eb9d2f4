"""Asks an online endpoint for every row of a file, as people do who use the official SDK.

`score.py GROUP WORKSPACE ENDPOINT ROWS` prints a line for the deployed model, and then the answer to each row, a line each.
"""

import json
import pathlib
import sys
import tempfile

import mlclient


def main(group, workspace, endpoint, rows):
    """Prints what the endpoint answers."""
    ml = mlclient.client(workspace, group=group)
    deployments = list(ml.online_deployments.list(endpoint))
    print(json.dumps([one.model for one in deployments]))
    for row in json.loads(pathlib.Path(rows).read_text(encoding="utf-8"))["rows"]:
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(row["request"], file)
            file.flush()
            answer = ml.online_endpoints.invoke(endpoint, request_file=file.name)
        print(json.dumps(json.loads(answer)))


if __name__ == "__main__":
    main(*sys.argv[1:])
