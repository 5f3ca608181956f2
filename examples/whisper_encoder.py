"""The encoder of Whisper: from the spectrogram of speech to features, in a file for hosts without PyTorch.

python examples/whisper_encoder.py    (needs the transformers package; the weights are random: nothing is downloaded)
"""

import torch
import transformers

import unmoor

BANDS, FRAMES = 80, 100


def spectrogram(batch: int) -> torch.Tensor:
    """What Whisper's feature extractor makes of sound: bands over time; here of a rising tone and some noise."""
    time = torch.arange(FRAMES) / FRAMES
    tone = torch.exp(-((torch.arange(BANDS)[:, None] - BANDS * time) ** 2) / 8)
    return (tone + 0.1 * torch.rand(batch, BANDS, FRAMES)).log10().clamp(min=-8)


torch.manual_seed(0)
config = transformers.WhisperConfig(
    num_mel_bins=BANDS, max_source_positions=FRAMES // 2, d_model=64, encoder_layers=2, encoder_attention_heads=4,
    encoder_ffn_dim=128, decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=128,
)  # fmt: skip
encoder = transformers.WhisperModel(config).eval().get_encoder()
with torch.no_grad():
    traced = unmoor.trace(encoder, input_features=spectrogram(1))
    digest = unmoor.save(traced, "whisper_encoder.unmoor")
    model = unmoor.load("whisper_encoder.unmoor", trust=digest)
    print(model)
    for batch in (1, 2, 5):
        sound = spectrogram(batch)
        ours = model(input_features=sound)["last_hidden_state"]
        eager = encoder(input_features=sound).last_hidden_state
        torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-4)
        apart = float((ours - eager).abs().max())
        print(f"{batch} recordings: features {list(ours.shape)}, at most {apart:.0e} from eager PyTorch")
try:
    model(input_features=torch.zeros(1, BANDS, FRAMES + 2))  # Whisper takes sound of one length
except unmoor.UnmoorError as error:
    print(f"{type(error).__name__}: {error}")
