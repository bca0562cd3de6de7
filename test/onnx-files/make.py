"""Small random-weight models as real exporters write them. usage: make.py OUT (torch 2.13, transformers 5.18, onnxscript 0.7, onnxruntime)"""
import sys, os, torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm
out = sys.argv[1]
os.makedirs(out, exist_ok=True)
torch.manual_seed(7)


def ready(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.08 + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0))
    return model.eval()


class Logits(nn.Module):
    """Ids in, logits out, as exporters of whole models wrap them."""
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits if not isinstance(self.model, BertForMaskedLM) \
            else self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def export(name, model, args, inputs, opset, dynamo=False, **more):
    path = f'{out}/{name}.onnx'
    axes = {n: {0: 'batch', 1: 'sequence'} for n in inputs}
    kind = dict(dynamo=True, dynamic_shapes=None) if dynamo else dict(dynamo=False, dynamic_axes=axes | {'logits': {0: 'batch', 1: 'sequence'}})
    torch.onnx.export(model, args, path, input_names=inputs, output_names=['logits'], opset_version=opset, **kind, **more)
    print(name, os.path.getsize(path))
    return path


ids = torch.randint(0, 97, (1, 12))
both = (ids, torch.ones_like(ids))
common = dict(vocab_size=97, attn_implementation='eager')
bert = ready(BertForMaskedLM(BertConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, **common)))
export('bert-torchscript-opset14', Logits(bert), both, ['input_ids', 'attention_mask'], 14)
llama = ready(LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32, rms_norm_eps=1e-6, **common)))
export('llama-torchscript-opset17', Logits(llama), both, ['input_ids', 'attention_mask'], 17)
gpt2 = ready(GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=2, n_positions=32, **common)))
export('gpt2-dynamo-opset18', Logits(gpt2), both, ['input_ids', 'attention_mask'], 18, dynamo=True, external_data=True)


class DyT(nn.Module):
    """As in github.com/jiachenzhu/DyT (MIT)."""
    def __init__(self, C):
        super().__init__()
        self.alpha, self.weight, self.bias = nn.Parameter(torch.ones(1) * 0.5), nn.Parameter(torch.ones(C)), nn.Parameter(torch.zeros(C))
    def forward(self, x):
        return torch.tanh(self.alpha * x) * self.weight + self.bias


class Derf(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.alpha, self.shift = nn.Parameter(torch.ones(1) * 0.5), nn.Parameter(torch.zeros(1))
        self.weight, self.bias = nn.Parameter(torch.ones(C)), nn.Parameter(torch.zeros(C))
    def forward(self, x):
        return self.weight * torch.erf(self.alpha * x + self.shift) + self.bias


class Mixed(nn.Module):
    """One of each, with a GELU that is none of them."""
    def __init__(self, C=24):
        super().__init__()
        self.dyt, self.derf, self.first, self.second = DyT(C), Derf(C), nn.Linear(C, C), nn.Linear(C, C)
        self.batch, self.instance = nn.BatchNorm1d(C), nn.InstanceNorm1d(C, affine=True)
        self.plain = nn.LayerNorm(C, elementwise_affine=False)
    def forward(self, x):
        x = x + nn.functional.gelu(self.first(self.dyt(x)), approximate='tanh')
        x = x + nn.functional.gelu(self.second(self.derf(x)))
        x = self.batch(x.transpose(1, 2)) + self.instance(x.transpose(1, 2))
        return self.plain(x.transpose(1, 2))


mixed = ready(Mixed())
with torch.no_grad():
    mixed.batch.running_mean.normal_(), mixed.batch.running_var.uniform_(0.5, 2)
x = torch.randn(2, 5, 24)
export('mixed-torchscript-opset13', mixed, (x,), ['x'], 13)


class Half(nn.Module):
    """Two LLaMA norms in half precision around a Linear: casts to float and back."""
    def __init__(self, C=24):
        super().__init__()
        self.one, self.two, self.linear = LlamaRMSNorm(C, 1e-6), LlamaRMSNorm(C, 1e-6), nn.Linear(C, C)
    def forward(self, x):
        return self.two(x + self.linear(self.one(x)))


class Rms(nn.Module):
    def __init__(self, C=24):
        super().__init__()
        self.norm, self.linear, self.last = nn.RMSNorm(C, 1e-6), nn.Linear(C, C), nn.LayerNorm(C)
    def forward(self, x):
        return self.last(x + self.linear(self.norm(x)))


export('half-torchscript-opset17', ready(Half()).half(), (x.half(),), ['x'], 17)
export('rms-dynamo-opset23', ready(Rms()), (x,), ['x'], 23, dynamo=True, external_data=False)

from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
for model_type, source in (('bert', 'bert-torchscript-opset14'), ('gpt2', 'llama-torchscript-opset17')):
    options = FusionOptions(model_type)
    options.enable_embed_layer_norm = False
    options.enable_rotary_embeddings = False
    options.enable_attention = False
    made = optimizer.optimize_model(f'{out}/{source}.onnx', model_type, num_heads=2, hidden_size=32, optimization_options=options, opt_level=0)
    path = f"{out}/{source.split('-')[0]}-ort-fused.onnx"
    made.save_model_to_file(path)
    print(path, os.path.getsize(path), made.get_fused_operator_statistics())
