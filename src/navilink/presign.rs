//! The presigned URL of the cloud's MQTT session.
