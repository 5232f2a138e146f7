// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** Entry of the pack in the browser: the camera path editor on its node. Everything heavy loads when it is opened. */
import { NodeHost, registerExtension } from "./comfy_host.mjs";
import { addEditorWidget } from "./camera_editor/widget.mjs";

const CAMERA_NODE = "LingBotCameraTrajectory";

registerExtension({
  name: "LingBotWorld.CameraEditor",
  nodeCreated(node) {
    if (node.comfyClass === CAMERA_NODE) addEditorWidget(new NodeHost(node));
  },
});
