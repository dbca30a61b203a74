"""What speaks DIMSE to a PACS (PS3.7, PS3.8): C-STORE to store, C-FIND to look, C-ECHO to try."""
