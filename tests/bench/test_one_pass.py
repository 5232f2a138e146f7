# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Counted work, groups of kernels, and bandwidth of the kernels between the matrix products."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lingbot_core.bench import breakdown, elementwise, work
from lingbot_core.bench.breakdown import KernelRun
from lingbot_core.bench.ceilings import time_ms
from lingbot_core.bench.probe import PassProbe
from lingbot_core.cli import main
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.timeline import chunk_tokens
from tests.bench.test_rollouts import TINY
from tests.tiny_engine import CONFIG, HEIGHT, WIDTH, build_model

FULL = DiTConfig.lingbot_14b()
TOKENS = chunk_tokens(464, 832)
BF16 = torch.bfloat16


def test_work_of_the_published_network_is_what_its_parameters_say() -> None:
    """Two operations per token and weight; every weight that tokens meet is used once."""
    dim, layers = FULL.dim, FULL.num_layers
    block = 3 * dim**2 + 3 * dim**2 + 2 * dim * FULL.ffn_dim  # the text's keys and values are not made from tokens
    denoise = work.linear_operations(work.linears(FULL, "denoising pass"), TOKENS)
    assert denoise == 2 * TOKENS * (layers * block + 144 * dim + 64 * dim)
    update = work.linear_operations(work.linears(FULL, "cache update"), TOKENS)
    assert update == 2 * TOKENS * ((layers - 1) * block + 3 * dim**2 + 144 * dim)
    camera = work.linear_operations(work.linears(FULL, "camera branch"), TOKENS)
    assert camera == 2 * TOKENS * (layers * 4 * dim**2 + 2 * dim**2 + 1536 * dim)


def test_attention_counts_both_products_over_all_visible_tokens() -> None:
    past, text = work.attentions(FULL, "denoising pass", 6 * TOKENS)
    assert past.operations(FULL, TOKENS) == 40 * 2 * 2 * TOKENS * 6 * TOKENS * 5120
    assert text.num_keys == 512
    assert [item.count for item in work.attentions(FULL, "cache update", TOKENS)] == [39, 39]
    assert [item.count for item in work.attentions(FULL, "camera branch", TOKENS)] == [0, 0]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("nvjet_tst_192x192_64x4_2x1_v_bz_coopA_bias_TNT", "linear layers"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", "linear layers"),
        ("void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<...>>", "linear layers"),
        ("void cublasLt::splitKreduce_kernel<32, 16, int, float>", "linear layers"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_6_64x128x128_4x1x1", "attention"),
        ("void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<128>>", "attention"),
        ("fmha_cutlassF_bf16_aligned_64x128_rf_sm80", "attention"),
        ("void cutlass::device_kernel<flash::FlashAttnFwdSm90<...>>", "attention"),
        ("gated_residual_layer_norm_modulate_kernel", "elementwise"),
        ("norm_rope_store_kernel", "elementwise"),
        ("activate_fp8_kernel", "elementwise"),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>",
            "elementwise",
        ),
        ("Memcpy DtoD (Device -> Device)", "copies"),
        ("Memset (Device)", "copies"),
        ("void at::native::elementwise_kernel<128, 4, at::native::direct_copy_kernel_cuda>", "copies"),
    ],
)
def test_kernels_are_told_by_their_names(name: str, group: str) -> None:
    assert breakdown.group_of(name) == group


def kernel_runs(names: list[str]) -> list[KernelRun]:
    """One after the other, 2 ms each, starting every 3 ms; given out of order."""
    return [KernelRun(name, 3e3 * index, 2e3) for index, name in enumerate(names)][::-1]


def test_attention_to_past_and_text_take_turns() -> None:
    times = breakdown.group_times_ms(kernel_runs(["gemm", "sdpa", "sdpa", "add_kernel", "sdpa", "sdpa"]), 2)
    assert times == {"linear layers": 2, "attention": 4, "text attention": 4, "elementwise": 2}


def test_attention_of_more_kernels_than_calls_is_one_group() -> None:
    assert breakdown.group_times_ms(kernel_runs(["sdpa"] * 3), 1) == {"attention": 6}


def test_busy_time_counts_overlaps_once_and_gaps_not() -> None:
    runs = [KernelRun("a", 0, 1000), KernelRun("b", 500, 1000), KernelRun("c", 600, 100), KernelRun("d", 3000, 1000)]
    assert breakdown.busy_ms(runs) == 2.5
    assert breakdown.gaps_ms(runs) == 1.5
    assert breakdown.gaps_ms([]) == 0


def test_probe_sees_what_the_chunk_sees_and_can_repeat_its_passes() -> None:
    model = build_model(window_frames=6, sink_frames=3)
    tokens = chunk_tokens(HEIGHT, WIDTH)
    for chunk, visible in ((0, 1), (1, 2), (4, 3)):
        with torch.inference_mode():
            probe = PassProbe(model, chunk, (HEIGHT, WIDTH))
            for part in work.PARTS:
                probe.run(part)
                probe.run(part)
        assert probe.num_visible_tokens == visible * tokens


def test_breakdown_sets_each_group_against_the_measured_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["nvjet"] + ["sdpa", "sdpa"] * CONFIG.num_layers + ["norm_rope_store_kernel", "Memcpy DtoD"]
    monkeypatch.setattr(breakdown, "_profile", lambda *_: kernel_runs(names))
    monkeypatch.setattr(breakdown, "linear_ms", lambda *_: 0.5)
    monkeypatch.setattr(breakdown, "attention_ms", lambda *_: 0.25)
    monkeypatch.setattr(breakdown, "copy_tbps", lambda _: 4.0)
    found = breakdown.measure(build_model(), 1, (HEIGHT, WIDTH))
    rows = {row.group: row for row in found.rows if row.part == "denoising pass"}
    assert rows["attention"].time_ms == rows["text attention"].time_ms == 2.0 * CONFIG.num_layers
    assert rows["attention"].fraction == 0.25 / 2.0
    assert rows["linear layers"].ceiling_ms == 0.5 * (6 * CONFIG.num_layers + 2)
    num_bytes = rows["elementwise"].ceiling_ms
    assert num_bytes is not None and num_bytes > 0
    assert rows["gaps"].time_ms == len(names) - 1, "1 ms behind each kernel but the last"
    text = breakdown.breakdown_markdown(found)
    assert "| attention | 12.00 |" in text and "norm_rope_store_kernel" in text
    assert "chunk 1" in text
    assert breakdown.breakdown_data(found)["breakdown"]


def test_bytes_of_the_kernels_at_full_size_are_each_input_and_output_once() -> None:
    stream, row = 2 * TOKENS * FULL.dim, 2 * FULL.dim
    counted = {case.name: elementwise.count_bytes(case, FULL, TOKENS, BF16, False) for case in elementwise.cases(False)}
    assert counted["LayerNorm, modulation"] == 2 * stream + 2 * row
    assert counted["residual, LayerNorm, modulation"] == 4 * stream + 2 * row
    assert counted["gated residual, LayerNorm, modulation"] == 4 * stream + 3 * row
    assert counted["gated residual, camera, LayerNorm"] == 6 * stream + 3 * row
    assert counted["GELU"] == 2 * 2 * TOKENS * FULL.ffn_dim
    rotation, slots = 2 * 2 * TOKENS * FULL.head_dim // 2, 8 * TOKENS
    assert counted["q, k, v: RMSNorm, rotation, store"] == 6 * stream + 2 * row + rotation + slots
    packed = counted["q, k, v on two GPUs: RMSNorm, rotation, packed for the exchange"]
    assert packed == 3 * stream + 2 * row + rotation // 2
    assert counted["q, k, v on two GPUs: store of what was exchanged"] == 3 * stream + slots


def test_bytes_in_8_bits_are_fewer_and_attention_is_quantised() -> None:
    stream, row = TOKENS * FULL.dim, 2 * FULL.dim
    counted = {case.name: elementwise.count_bytes(case, FULL, TOKENS, BF16, True) for case in elementwise.cases(True)}
    assert counted["LayerNorm, modulation"] == 3 * stream + 4 * TOKENS + 2 * row
    assert counted["quantisation of attention's result"] == 3 * stream + 4 * TOKENS


def test_kernels_of_a_pass_are_counted_per_layer() -> None:
    calls = {case.name: case.calls(40, False) for case in elementwise.cases(False)}
    assert calls["LayerNorm, modulation"] == (1, 1)
    assert calls["q, k, v: RMSNorm, rotation, store"] == (40, 40)
    assert calls["gated residual, camera, LayerNorm"] == (40, 39)
    assert all(counts == (0, 0) for name, counts in calls.items() if "two GPUs" in name)


def test_every_kernel_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "time_ms", partial(time_ms, batch_ms=0.1))
    rates = elementwise.measure(CONFIG, 6, torch.float32, torch.device("cpu"), False)
    assert [rate.name for rate in rates] == [case.name for case in elementwise.cases(False)]
    assert all(rate.kernel_us > 0 and rate.copy_us > 0 for rate in rates)
    assert "of the copy" in elementwise.elementwise_markdown(rates)


def test_breakdown_without_gpu_is_refused_before_a_model_is_built(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingbot_core.bench.random_model", lambda *_, **__: pytest.fail("a model is built"))
    assert main([*TINY, "--breakdown"]) == 2
    assert "--breakdown needs a GPU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--breakdown", "--chunk", "-1"], "--chunk -1"),
        (["--reference", ".", "--breakdown", "--elementwise"], "--reference with --breakdown and --elementwise"),
    ],
)
def test_options_that_do_not_go_together_exit_with_2(
    options: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([*TINY, *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.gpu
def test_breakdown_of_a_small_network_on_the_gpu_accounts_for_its_time(capsys: pytest.CaptureFixture) -> None:
    command = [*TINY[:2], "--size", "small", "--pixel-height", "128", "--pixel-width", "224", "--chunk", "2"]
    assert main([*command, "--breakdown", "--elementwise"]) == 0
    shown = capsys.readouterr().out
    assert "| linear layers |" in shown and "| attention |" in shown and "norm_rope_store" in shown
