// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import {
  BufferGeometry,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  PlaneGeometry,
  Points,
  PointsMaterial,
  SRGBColorSpace,
  Scene,
  TextureLoader,
  Vector3,
  WebGLRenderer,
} from "../vendor/three.mjs";
import { cvToGlPosition, cvToGlRotation, turned } from "./axes.mjs";
import {
  FRAME_HEIGHT,
  FRAME_WIDTH,
  FRUSTUM_POINTS,
  boundsOf,
  frustaOf,
  frustumCorners,
  gridLines,
  groundOf,
  roundStep,
  sampledLines,
  writeFrustum,
} from "./geometry.mjs";
import { Gizmo } from "./gizmo.mjs";
import { aimLens, fill, lineSegments } from "./lens.mjs";
import { orbitControls } from "./orbit.mjs";
import { ViewPointer } from "./view_pointer.mjs";

const BACKGROUND = 0x17181b;
const NUM_TIMINGS = 600;
const PREVIEW_WIDTH = 208;
const PREVIEW_HEIGHT = Math.round((PREVIEW_WIDTH * FRAME_HEIGHT) / FRAME_WIDTH);
/** How far off the preview shows the photo, in world scales. */
const PHOTO_DISTANCE = 4;
const ORIGIN = Object.freeze({ position: [0, 0, 0], rotation: [0, 0, 0, 1], zoom: 1 });

/**
 * The path in space. Draws only when something has changed.
 *
 * The camera that looks on is three.js's; everything it shows is in its axes. The picture of the path's own
 * camera is drawn only when that camera or the path moves, then kept on a canvas of its own.
 *
 * Events: "pick" {id, add}, "place" {position (OpenCV)}, "frame" (something was drawn).
 */
export class PathView extends EventTarget {
  #model;
  #canvas;
  #renderer;
  #scene = new Scene();
  #camera = new PerspectiveCamera(50, 1, 0.01, 1000);
  #lens = new PerspectiveCamera();
  #orbit;
  #gizmo;
  #grid = lineSegments();
  #curve = lineSegments();
  #frusta = lineSegments();
  /** The ground as the path's own camera sees it. */
  #ground = lineSegments();
  #current = lineSegments(0xffffff);
  #handles;
  #photo;
  #preview;
  #sampled = null;
  #frame = 0;
  #isFlying = false;
  #isDrawing = false;
  #flightPose = null;
  #pending = 0;
  #previewDirty = true;
  #pointer;
  #timings = [];
  #drawCalls = 0;
  #photoUrl = "";
  #listeners = new AbortController();

  /** `element` gets the canvas; `preview` is the canvas of the path's own camera. */
  constructor({ element, model, preview }) {
    super();
    this.#model = model;
    this.element = element;
    this.#canvas = document.createElement("canvas");
    this.#canvas.style.cssText = "display:block;width:100%;height:100%;touch-action:none";
    element.append(this.#canvas);
    this.#renderer = new WebGLRenderer({ canvas: this.#canvas, antialias: true, powerPreference: "low-power" });
    this.#renderer.setClearColor(BACKGROUND);
    this.#renderer.info.autoReset = false;
    this.#preview = preview;
    [preview.width, preview.height] = [PREVIEW_WIDTH, PREVIEW_HEIGHT];
    this.#handles = new Points(
      new BufferGeometry(),
      new PointsMaterial({ size: 9, sizeAttenuation: false, vertexColors: true, depthTest: false, transparent: true }),
    );
    this.#handles.frustumCulled = false;
    this.#photo = new Mesh(new PlaneGeometry(1, 1), new MeshBasicMaterial({ side: 2 }));
    this.#photo.visible = false;
    this.#scene.add(this.#grid, this.#ground, this.#photo, this.#curve, this.#frusta, this.#current, this.#handles);
    this.#orbit = orbitControls(this.#camera, this.#canvas);
    this.#orbit.addEventListener("change", () => this.requestFrame());
    this.#gizmo = new Gizmo({ camera: this.#camera, canvas: this.#canvas, scene: this.#scene, model, orbit: this.#orbit });
    this.#gizmo.addEventListener("change", () => this.requestFrame());
    this.#pointer = new ViewPointer({
      canvas: this.#canvas,
      camera: this.#camera,
      model,
      isFree: () => !this.#isFlying && !this.#gizmo.isHovered,
      onClick: (event) => this.#click(event),
      signal: this.#listeners.signal,
    });
    this.update();
    this.fit();
  }

  /** "translate" or "rotate": what the gizmo of the selected keyframe does. */
  set gizmoMode(mode) {
    this.#gizmo.mode = mode;
    this.requestFrame();
  }

  get gizmoMode() {
    return this.#gizmo.mode;
  }

  /** While true a click on the ground places a keyframe instead of picking one, and no handles are in the way. */
  get isDrawing() {
    return this.#isDrawing;
  }

  set isDrawing(isDrawing) {
    this.#isDrawing = isDrawing;
    this.#gizmo.isHidden = this.#isFlying || isDrawing;
    this.requestFrame();
  }

  /** The server's samples of the path, or null. */
  set sampled(sampled) {
    this.#sampled = sampled?.positions.length ? sampled : null;
    this.#updateCurve();
    this.#updateCurrent();
  }

  get sampled() {
    return this.#sampled;
  }

  /** Which frame of the path its camera shows. */
  set frame(frame) {
    this.#frame = frame;
    this.#updateCurrent();
  }

  get frame() {
    return this.#frame;
  }

  /** {position, rotation, zoom, intrinsics (at zoom 1)} of the path's camera now. */
  get pose() {
    const { intrinsics, keyframes } = this.#model;
    if (this.#flightPose) return { ...this.#flightPose, intrinsics };
    if (!this.#sampled) return { ...(keyframes[0] ?? ORIGIN), intrinsics };
    const frame = Math.min(this.#frame, this.#sampled.positions.length - 1);
    const { positions, rotations, intrinsics: lenses } = this.#sampled;
    return { position: positions[frame], rotation: rotations[frame], zoom: 1, intrinsics: lenses[frame] };
  }

  /** Draw calls of the last frame and milliseconds of script that the last frames took. */
  get stats() {
    return { drawCalls: this.#drawCalls, cpuMs: [...this.#timings] };
  }

  clearStats() {
    this.#timings.length = 0;
  }

  /** Look through a camera that is being flown; null ends it. */
  fly(pose) {
    this.#flightPose = pose;
    if (this.#isFlying !== Boolean(pose)) {
      this.#isFlying = Boolean(pose);
      this.#orbit.enabled = !pose;
      this.#gizmo.isHidden = Boolean(pose) || this.#isDrawing;
      this.#preview.style.display = pose ? "none" : "";
    }
    this.#updateCurrent();
  }

  /** Take over the model's keyframes and selection. */
  update() {
    const { positions, colors, handles, handleColors } = frustaOf(this.#model, this.#frustumSize());
    fill(this.#frusta.geometry, positions, colors);
    fill(this.#handles.geometry, handles, handleColors);
    this.#gizmo.update();
    this.#placePhoto();
    if (!this.#sampled) this.#updateCurrent();
    this.#redrawAll();
  }

  /** Show a picture on the first keyframe's image plane; an empty address shows none. */
  set photoUrl(url) {
    if (url === this.#photoUrl) return;
    this.#photoUrl = url;
    const material = this.#photo.material;
    material.map?.dispose();
    material.map = null;
    this.#photo.visible = false;
    if (url) {
      new TextureLoader().load(
        url,
        (texture) => {
          if (url !== this.#photoUrl) return texture.dispose();
          texture.colorSpace = SRGBColorSpace;
          material.map = texture;
          material.needsUpdate = true;
          this.#placePhoto();
          this.#redrawAll();
        },
        undefined,
        () => {},
      );
    }
    this.#redrawAll();
  }

  get #hasPhoto() {
    return Boolean(this.#photo.material.map);
  }

  /** Bring the whole path into view; `fromAbove`: like a map, forward being up. */
  fit({ fromAbove = false } = {}) {
    const bounds = boundsOf([...this.#model.keyframes.map(({ position }) => position), ...(this.#sampled?.positions ?? [])]);
    const scale = this.#model.worldScale;
    const radius = Math.max(bounds?.radius ?? 0, 1.5 * scale);
    const centre = new Vector3(...(bounds?.centre ?? [0, 0, -scale]));
    const direction = fromAbove ? new Vector3(0, 1, 0.001) : new Vector3(0.55, 0.75, 1);
    const distance = (1.25 * radius) / Math.sin((this.#camera.fov * Math.PI) / 360);
    this.#orbit.target.copy(centre);
    this.#camera.position.copy(centre).addScaledVector(direction.normalize(), distance);
    this.#orbit.update();
    this.requestFrame();
  }

  /** Where a point of the path is, in pixels of the page, or null when it is behind the viewer. */
  screenPosition(position) {
    return this.#pointer.screenPosition(position);
  }

  /** Adapt to the element's size. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    this.#renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    this.#renderer.setSize(width, height, false);
    this.#camera.aspect = width / height;
    this.#camera.updateProjectionMatrix();
    this.#redrawAll();
  }

  requestFrame() {
    if (!this.#pending) this.#pending = requestAnimationFrame(() => this.#draw());
  }

  dispose() {
    cancelAnimationFrame(this.#pending);
    this.#pending = -1;
    this.#listeners.abort();
    this.#gizmo.dispose();
    this.#orbit.dispose();
    for (const object of [this.#grid, this.#ground, this.#curve, this.#frusta, this.#current, this.#handles, this.#photo]) {
      object.geometry.dispose();
      object.material.map?.dispose();
      object.material.dispose();
    }
    this.#renderer.dispose();
    this.#renderer.forceContextLoss();
    this.#canvas.remove();
  }

  // --- drawing ---

  #draw() {
    this.#pending = 0;
    if (!this.element.clientWidth || !this.element.clientHeight) return;
    const start = performance.now();
    if (!this.#drawCalls) this.requestFrame(); // the first frame comes at once, the preview's reading back after it
    else if (this.#previewDirty && !this.#isFlying) this.#drawPreview();
    this.#renderer.info.reset();
    if (this.#isFlying) {
      this.#aim(this.#canvas.clientWidth / this.#canvas.clientHeight);
      this.#show({ fromLens: true, frusta: true });
      this.#renderer.render(this.#scene, this.#lens);
    } else {
      const distance = this.#camera.position.distanceTo(this.#orbit.target);
      [this.#camera.near, this.#camera.far] = [distance * 1e-3, distance * 1e3];
      this.#camera.updateProjectionMatrix();
      this.#placeGrid(this.#grid, roundStep(distance / 6), this.#orbit.target.toArray());
      this.#show({ fromLens: false, frusta: true });
      this.#renderer.render(this.#scene, this.#camera);
    }
    this.#drawCalls = this.#renderer.info.render.calls;
    if (this.#timings.push(performance.now() - start) > NUM_TIMINGS) this.#timings.shift();
    this.dispatchEvent(new CustomEvent("frame"));
  }

  /** The path's camera into a corner of the canvas, and from there to the preview's own. */
  #drawPreview() {
    this.#previewDirty = false;
    const renderer = this.#renderer;
    const [width, height] = [this.#canvas.clientWidth, this.#canvas.clientHeight];
    const shrink = Math.min(1, width / PREVIEW_WIDTH, height / PREVIEW_HEIGHT);
    const [w, h] = [Math.floor(PREVIEW_WIDTH * shrink), Math.floor(PREVIEW_HEIGHT * shrink)];
    const ratio = renderer.getPixelRatio();
    this.#aim(FRAME_WIDTH / FRAME_HEIGHT);
    this.#show({ fromLens: true, frusta: false });
    this.#gizmo.isHidden = true;
    this.#placePhoto(PHOTO_DISTANCE * this.#model.worldScale);
    renderer.setViewport(0, 0, w, h);
    renderer.render(this.#scene, this.#lens);
    renderer.setViewport(0, 0, width, height);
    const context = this.#preview.getContext("2d");
    const top = this.#canvas.height - h * ratio;
    context.drawImage(this.#canvas, 0, top, w * ratio, h * ratio, 0, 0, PREVIEW_WIDTH, PREVIEW_HEIGHT);
    this.#placePhoto();
    this.#gizmo.isHidden = this.#isFlying || this.#isDrawing;
  }

  #show({ fromLens, frusta }) {
    this.#ground.visible = fromLens;
    this.#grid.visible = !fromLens;
    this.#current.visible = !fromLens && Boolean(this.#sampled);
    this.#frusta.visible = this.#handles.visible = frusta;
  }

  /** Look through the path's own camera. */
  #aim(aspect) {
    const { pose } = this;
    aimLens(this.#lens, pose, this.#model.worldScale * 0.01, aspect);
    this.#placeGrid(this.#ground, roundStep(this.#model.worldScale), cvToGlPosition(pose.position));
  }

  #redrawAll() {
    this.#previewDirty = true;
    this.requestFrame();
  }

  #updateCurve() {
    const sampled = this.#sampled ?? { positions: [], rotations: [], chunks: [] };
    const { positions, colors } = sampledLines(sampled, this.#frustumSize());
    fill(this.#curve.geometry, positions, colors);
    this.#redrawAll();
  }

  #updateCurrent() {
    const positions = new Float32Array(FRUSTUM_POINTS * 3);
    const { pose } = this;
    writeFrustum(positions, 0, pose, pose.intrinsics, this.#frustumSize() * 1.3, groundOf(this.#model));
    fill(this.#current.geometry, positions);
    this.#redrawAll();
  }

  #placeGrid(grid, cell, centre) {
    const height = -groundOf(this.#model);
    const key = [cell, Math.round(centre[0] / cell), Math.round(centre[2] / cell), height].join();
    if (key === grid.userData.key) return;
    grid.userData.key = key;
    const { positions, colors } = gridLines(cell, centre, height);
    fill(grid.geometry, positions, colors);
  }

  /** Depth of the frusta's image planes: a part of the world scale, or of a path that is much longer than that. */
  #frustumSize() {
    const bounds = boundsOf(this.#model.keyframes.map(({ position }) => position));
    return Math.max(0.3 * this.#model.worldScale, 0.05 * (bounds?.radius ?? 0));
  }

  #placePhoto(distance = this.#frustumSize()) {
    const pose = this.#model.keyframes[0] ?? ORIGIN;
    const [leftTop, , rightBottom] = frustumCorners(this.#model.intrinsics, pose.zoom, distance);
    const middle = turned(leftTop.map((value, axis) => (value + rightBottom[axis]) / 2), pose.rotation);
    this.#photo.position.set(...cvToGlPosition(middle.map((value, axis) => value + pose.position[axis])));
    this.#photo.quaternion.set(...cvToGlRotation(pose.rotation));
    this.#photo.scale.set(rightBottom[0] - leftTop[0], rightBottom[1] - leftTop[1], 1);
    this.#photo.visible = this.#hasPhoto;
  }

  #click(event) {
    if (!this.isDrawing) {
      const detail = { id: this.#pointer.keyframeAt(event), add: event.shiftKey || event.ctrlKey };
      this.dispatchEvent(new CustomEvent("pick", { detail }));
      return;
    }
    const position = this.#pointer.placeAt(event);
    if (position) this.dispatchEvent(new CustomEvent("place", { detail: { position } }));
  }
}
