"""DICOM: checks of one instance, targets for a batch. Knows nothing of tus, HTTP faces or storage."""
