/** tus-js-client's own source. Its entries bring readers, stacks and stores besides, made for older browsers. */
declare module "tus-js-client/lib/upload.js" {
  import { Upload, type UploadOptions } from "tus-js-client";

  /** Takes all of the options: nothing has a default. */
  export default class BaseUpload extends Upload {
    static readonly defaultOptions: UploadOptions;
  }
}
