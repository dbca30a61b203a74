"""The client behind `relaypacs send`: finds DICOM files and takes them to a gateway over tus, several at once.

Promises: what a killed or cut-off run has sent is not sent again; nothing of a patient is written to disk, and no
name, path or value of one appears in an error. It speaks to gateways by HTTP alone (docs/send.md) and knows none of
the server's intake.
"""
