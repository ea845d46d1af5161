"""A language model of random weights, half a megabyte, and a server for it: a test of plumbing, not of judgement.

    python tiny_model.py write MODEL.gguf [--seed N]
    python tiny_model.py serve MODEL.gguf [--port N] [--context N]

`write` needs the package gguf. The same seed makes the same file. `serve` needs xllamacpp, which is llama.cpp's own
server, and answers at http://127.0.0.1:PORT/v1 under the name "tiny". The model knows bytes only, so that a prompt
takes a token a byte; what it says is noise within the form that the request asks for.
"""

import argparse
import signal

LAYERS, HEADS, WIDTH, INNER, CONTEXT = 2, 4, 64, 128, 32768
# How much likelier than by chance a byte is, in deviations. Without it a text or a number would end as seldom as any
# one byte is drawn, and no reply would be whole; with it some are, and some run into the limit of tokens.
LIKELIER = {'"': 2.2, "{": 4.0, "}": 0.8, ",": 2.6, "]": 0.8, "m": 1.5, "l": 0.5, "c": 1.5, "-": -2.0, " ": -4.0, "\n": -9.0, "\t": -9.0, "\\": -4.0}
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}assistant: "


def byte_names():
    """The printable character that stands for each byte in a byte-level vocabulary."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    names, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            names[byte] = chr(byte)
        else:
            names[byte] = chr(0x100 + extra)
            extra += 1
    return [names[byte] for byte in range(256)]


def write(path, seed):
    import gguf
    import numpy

    random = numpy.random.default_rng(seed)
    end = 256
    tokens = byte_names() + ["<|endoftext|>"]

    def matrix(rows, columns):
        return (random.standard_normal((rows, columns)) / columns**0.5).astype(numpy.float32)

    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL])
    # A list may not be empty; this one never comes to pass, for its result is no token.
    out.add_token_merges(["Ā Ā"])
    out.add_bos_token_id(end)
    out.add_eos_token_id(end)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)

    # The first channel is the same for every token and no layer writes to it: with it, likelihoods can be set.
    embedding = random.standard_normal((len(tokens), WIDTH)).astype(numpy.float32)
    embedding[:, 0] = 4.0
    out.add_tensor("token_embd.weight", embedding)
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        out.add_tensor(name + "attn_norm.weight", numpy.ones(WIDTH, numpy.float32))
        for which in ("attn_q", "attn_k", "attn_v"):
            # Larger than usual: what came before is to matter.
            out.add_tensor(name + which + ".weight", 4 * matrix(WIDTH, WIDTH))
        back = matrix(WIDTH, WIDTH)
        back[0] = 0
        out.add_tensor(name + "attn_output.weight", back)
        out.add_tensor(name + "ffn_norm.weight", numpy.ones(WIDTH, numpy.float32))
        out.add_tensor(name + "ffn_gate.weight", matrix(INNER, WIDTH))
        out.add_tensor(name + "ffn_up.weight", matrix(INNER, WIDTH))
        back = matrix(WIDTH, INNER)
        back[0] = 0
        out.add_tensor(name + "ffn_down.weight", back)
    norm = numpy.ones(WIDTH, numpy.float32)
    out.add_tensor("output_norm.weight", norm)
    output = (random.standard_normal((len(tokens), WIDTH)) / WIDTH**0.5).astype(numpy.float32)
    output[:, 0] = 0
    for byte in [*range(0x00, 0x20), *range(0x7F, 0x100)]:
        output[byte, 0] = -3.0
    for character, much in LIKELIER.items():
        output[ord(character), 0] = much / 3.0
    out.add_tensor("output.weight", output)

    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def serve(path, port, context):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"tiny"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = context
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    signal.pause()


def main():
    parser = argparse.ArgumentParser()
    which = parser.add_subparsers(dest="which", required=True)
    writer = which.add_parser("write")
    writer.add_argument("path")
    writer.add_argument("--seed", type=int, default=4)
    server = which.add_parser("serve")
    server.add_argument("path")
    server.add_argument("--port", type=int, default=8090)
    server.add_argument("--context", type=int, default=16384)
    arguments = parser.parse_args()
    if arguments.which == "write":
        write(arguments.path, arguments.seed)
    else:
        serve(arguments.path, arguments.port, arguments.context)


if __name__ == "__main__":
    main()
