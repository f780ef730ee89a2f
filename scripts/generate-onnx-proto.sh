#!/bin/sh
# Writes src/onnx/generated/onnx_pb.ts from ONNX's own schema. Needs pip, unzip and npx, and the
# network; the result is committed, so only a newer ONNX makes this necessary.
# onnx-ml.proto is the proto2 schema that ONNX Runtime compiles: presence of a field is kept, so an
# attribute of value 0 is written. `erasable_syntax` makes constants of the enums (tsconfig's
# erasableSyntaxOnly).
set -eu

ONNX=1.19.1
BUF=1.74.0
PROTOC_GEN_ES=2.13.0

target="$(cd "$(dirname "$0")/.." && pwd)/src/onnx/generated"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"

pip download --quiet --no-deps "onnx==$ONNX"
unzip -q onnx-*.whl onnx/onnx-ml.proto
mkdir schema
mv onnx/onnx-ml.proto schema/onnx.proto

cat >buf.gen.yaml <<'YAML'
version: v2
inputs:
  - directory: schema
plugins:
  - local: protoc-gen-es
    out: generated
    opt: [target=ts, import_extension=ts, erasable_syntax=true]
YAML
npx --yes -p "@bufbuild/buf@$BUF" -p "@bufbuild/protoc-gen-es@$PROTOC_GEN_ES" buf generate

mkdir -p "$target"
cp generated/onnx_pb.ts "$target/onnx_pb.ts"
