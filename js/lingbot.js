// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** Entry of the pack in the browser: the camera path editor on its node, which loads what is heavy when it is opened. */
import { NodeHost, registerExtension } from "./comfy_host.mjs";
import { addEditorWidget } from "./camera_editor/widget.mjs";

const CAMERA_NODE = "LingBotCameraTrajectory";
const SAMPLER_NODE = "LingBotStreamingSampler";

registerExtension({
  name: "LingBotWorld.CameraEditor",
  nodeCreated(node) {
    if (node.comfyClass === CAMERA_NODE) addEditorWidget(new NodeHost(node));
  },
});

registerExtension({
  name: "LingBotWorld.SameSeed",
  /** A new sampler keeps its seed, so that the next run can take over chunks. A saved one gets its own choice later. */
  nodeCreated(node) {
    if (node.comfyClass === SAMPLER_NODE) new NodeHost(node).setValue("control_after_generate", "fixed");
  },
});
