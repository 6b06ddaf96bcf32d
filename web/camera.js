/** The browser's own pictures: cameras and the shared screen. */
import { LivemaskError } from "./messages.js";

/**
 * @typedef {{deviceId?: string, width?: number, height?: number, frameRate?: number}} CameraWish
 */

/** @param {CameraWish} wish @returns {Promise<MediaStream>} */
export async function openCamera({ deviceId, width = 640, height = 480, frameRate = 30 }) {
  const devices = mediaDevices();
  try {
    return await devices.getUserMedia({
      audio: false,
      video: {
        ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" }),
        width: { ideal: width },
        height: { ideal: height },
        frameRate: { ideal: frameRate },
      },
    });
  } catch (error) {
    throw cameraError(error);
  }
}

/** @param {CameraWish} wish @returns {Promise<MediaStream>} */
export async function openScreen({ frameRate = 30 }) {
  const devices = mediaDevices();
  if (!devices.getDisplayMedia) throw new LivemaskError("NO_SCREEN", "this browser cannot share its screen");
  try {
    return await devices.getDisplayMedia({
      audio: false,
      video: { frameRate: { ideal: frameRate }, width: { max: 1920 }, height: { max: 1080 } },
    });
  } catch (error) {
    throw cameraError(error, "SCREEN_REFUSED");
  }
}

/** Names are empty until the person has allowed a camera once. @returns {Promise<{id: string, name: string}[]>} */
export async function listCameras() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices
    .filter((device) => device.kind === "videoinput")
    .map((device, i) => ({ id: device.deviceId, name: device.label || `Camera ${i + 1}` }));
}

/** @param {() => void} callback */
export function onCamerasChanged(callback) {
  navigator.mediaDevices?.addEventListener("devicechange", callback);
}

function mediaDevices() {
  if (!navigator.mediaDevices) {
    throw new LivemaskError("INSECURE", "browsers give a camera only to https:// pages and to this machine itself");
  }
  return navigator.mediaDevices;
}

/** @type {Record<string, string>} */
const CODES = {
  NotAllowedError: "CAMERA_BLOCKED",
  SecurityError: "CAMERA_BLOCKED",
  NotFoundError: "NO_CAMERA",
  OverconstrainedError: "NO_CAMERA",
  NotReadableError: "CAMERA_BUSY",
  AbortError: "CAMERA_BUSY",
};

/** @param {unknown} error @param {string} [refused] code for a refusal */
function cameraError(error, refused) {
  const { name, message } = /** @type {DOMException} */ (error);
  const code = CODES[name] ?? "CAMERA_FAILED";
  return new LivemaskError(code === "CAMERA_BLOCKED" && refused ? refused : code, message || name);
}
