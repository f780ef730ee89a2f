"""PyTorch with transformers, and peft for LoRA, as a user would write the step: eager, AdamW, gradients clipped.

The head is computed where tokens are scored only, as this project does: a step that computed all logits would be slower.
"""
import json
import sys
import time

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

settings = json.loads(sys.argv[1])
torch.set_num_threads(settings["threads"])
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(settings["checkpoint"], torch_dtype=torch.float32)
lora = settings["lora"]
if lora:
    from peft import LoraConfig, get_peft_model

    get_peft_model(model, LoraConfig(
        r=lora["rank"], lora_alpha=lora["alpha"], use_rslora=lora["isRankStabilized"],
        target_modules=lora["modules"], task_type="CAUSAL_LM"))
model.train()
parameters = [each for each in model.parameters() if each.requires_grad]
optimizer = torch.optim.AdamW(
    parameters, lr=settings["learningRate"], betas=(0.9, 0.95), eps=1e-8, weight_decay=0)
sequences = settings["sequences"]
prompt = len(sequences[0]["prompt"])  # equal in all
tokens = torch.tensor([each["prompt"] + each["completion"] for each in sequences])
references = torch.tensor(settings["references"])


def log_probabilities():
    """[sequences, tokens of a completion]"""
    hidden = model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, prompt - 1:])
    labels = tokens[:, prompt:]
    return -functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def loss_of_batch():
    logps = log_probabilities()
    if settings["method"] == "sft":
        return -logps.mean()
    ratios = logps.sum(1) - references
    return -functional.logsigmoid(0.1 * (ratios[0::2] - ratios[1::2])).mean()


def step():
    started = time.perf_counter()
    loss = loss_of_batch()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"loss": loss.item(), "ms": 1000 * (time.perf_counter() - started)}


def say(message):
    print(json.dumps(message), flush=True)


say("ready")
for _ in sys.stdin:
    say(step())
