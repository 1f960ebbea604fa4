"""Colours and shapes of the page, beside static/style.css. Fonts are the system's own."""

import gradio as gr

_SYSTEM = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
_MONOSPACED = ["ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace"]
_SPRUCE = gr.themes.Color(
    name="spruce",
    c50="#eef7f6",
    c100="#d5ebe8",
    c200="#aed8d3",
    c300="#7fbfb8",
    c400="#4fa39b",
    c500="#2f877f",
    c600="#226d67",
    c700="#1d5853",
    c800="#1a4744",
    c900="#173b39",
    c950="#0a2322",
)


def theme() -> gr.themes.Base:
    """Quiet greys and one green."""
    return gr.themes.Base(
        primary_hue=_SPRUCE,
        secondary_hue=_SPRUCE,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=_SYSTEM,
        font_mono=_MONOSPACED,
    ).set(
        body_background_fill="#f7f8f8",
        body_background_fill_dark="#10161a",
        block_background_fill="white",
        block_background_fill_dark="#171f25",
        block_border_color="#e4e8e9",
        block_border_color_dark="#27323a",
        block_shadow="0 1px 2px rgb(16 32 40 / 4%)",
        block_shadow_dark="none",
        block_label_background_fill="white",
        block_label_background_fill_dark="#171f25",
        block_label_border_width="0px",
        block_label_radius="0 0 *radius_lg 0",
        block_label_text_weight="500",
        # Dark enough to be read on these backgrounds: 4.5 times as bright or dark, as WCAG AA asks.
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_600",
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_600",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
        link_text_color_active="*primary_700",
        link_text_color_active_dark="*primary_300",
        block_title_text_weight="500",
        input_background_fill="#f7f8f8",
        input_background_fill_dark="#10161a",
        input_border_color="#dde3e4",
        input_border_color_dark="#2c3942",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_secondary_background_fill="#eef1f1",
        button_secondary_background_fill_dark="#222d35",
        button_secondary_background_fill_hover="#e3e8e8",
        button_secondary_background_fill_hover_dark="#2b3842",
        button_secondary_border_color="transparent",
        button_secondary_border_color_dark="transparent",
        slider_color_dark="*primary_400",
        layout_gap="16px",
    )
