"""Workloads of attention: encoders as the transformers package has them, and a decoder with its two phases."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

LAYERS, WIDTH, HEADS, VOCABULARY, CONTEXT, PAST = 12, 768, 12, 50257, 1024, 128  # GPT-2, small


class OnlyResult(nn.Module):
    """A model of the transformers package, with one input and one result."""

    def __init__(self, model, argument, result):
        super().__init__()
        self.model, self.argument, self.result = model, argument, result

    def forward(self, x):
        return self.model(**{self.argument: x})[self.result]


def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    return OnlyResult(BertModel(BertConfig(), add_pooling_layer=False), "input_ids", "last_hidden_state")


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return OnlyResult(ViTForImageClassification(ViTConfig(num_labels=1000)), "pixel_values", "logits")


class Attention(nn.Module):
    """Causal attention of heads; with a past, of the last token to all before it."""

    def __init__(self):
        super().__init__()
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, past):
        batch, tokens, _ = x.shape
        heads = self.qkv(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS).transpose(1, 3)
        query, key, value = heads.unbind(2)
        now = torch.stack((key, value))
        if past is not None:
            key, value = torch.cat((past, now), dim=-2).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        return self.project(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH)), now


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.before_attention, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.mlp = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x, past=None):
        mixed, now = self.attention(self.before_attention(x), past)
        x = x + mixed
        return x + self.mlp(x), now


class GPT2(nn.Module):
    """The network of GPT-2, its output layer tied to the embedding of the tokens."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH)
        self.vocabulary = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        self.vocabulary.weight = self.tokens.weight


class Prefill(GPT2):
    """Logits of every token of a text."""

    def forward(self, ids):
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        for block in self.blocks:
            x, _ = block(x)
        return self.vocabulary(self.norm(x))


class Decode(GPT2):
    """Logits of one more token; `past` holds keys and values [layer, 2, batch, head, token, width] of those before."""

    def forward(self, ids, past):
        x = self.tokens(ids) + self.places.weight[PAST]
        nows = []
        for block, before in zip(self.blocks, past, strict=True):
            x, now = block(x, before)
            nows.append(now)
        return self.vocabulary(self.norm(x)), torch.stack(nows)


MAKERS = {
    "bert_base": lambda: (bert(), (torch.randint(0, 30522, (1, 128)),)),
    "vit_b16": lambda: (vit(), (torch.randn(1, 3, 224, 224),)),
    "gpt2_prefill": lambda: (Prefill(), (torch.randint(0, VOCABULARY, (1, 128)),)),
    "gpt2_decode": lambda: (
        Decode(),
        (torch.randint(0, VOCABULARY, (1, 1)), torch.randn(LAYERS, 2, 1, HEADS, PAST, WIDTH // HEADS)),
    ),
}
