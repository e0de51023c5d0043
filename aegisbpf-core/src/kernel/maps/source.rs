//! Where maps are taken from: the object that this process loaded, or pins.

use aya::{
    Ebpf,
    maps::{Map, MapData, MapError},
};

use crate::{
    error::{Error, Result},
    kernel::{modify_return::descriptor, pins::Pins},
};

/// See the module.
pub(crate) enum Source<'a> {
    /// A loaded object, which gives each map once.
    Object(&'a mut Ebpf),
    /// Pins. They are opened as they are; loading the object again over them would wipe the filter.
    Pins(&'a Pins),
}

impl Source<'_> {
    /// The map of this name in the object.
    ///
    /// # Errors
    /// If it is missing or of another type: the object is not the one this library was built with.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<T>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        let map = match self {
            Self::Object(ebpf) => ebpf.take_map(name).ok_or_else(|| {
                Error::kernel(
                    format!("finding the map {name}"),
                    "it is not in the embedded object",
                )
            })?,
            Self::Pins(pins) => MapData::from_pin(pins.map(name))
                .and_then(Map::from_map_data)
                .map_err(|e| Error::kernel(format!("opening the pinned map {name}"), e))?,
        };
        T::try_from(map).map_err(|e| Error::kernel(format!("opening the map {name}"), e))
    }

    /// The same by a descriptor of its own: programs that are loaded later still find the object's under its number, though
    /// this one is closed by then.
    ///
    /// # Errors
    /// As [`Source::take`].
    pub(super) fn share<T>(&mut self, name: &str) -> Result<T>
    where
        T: TryFrom<Map, Error = MapError>,
    {
        let Self::Object(ebpf) = self else {
            return self.take(name);
        };
        let failed = |e: crate::error::Source| Error::kernel(format!("sharing the map {name}"), e);
        let own = ebpf
            .map(name)
            .and_then(descriptor)
            .ok_or_else(|| failed("it is not in the embedded object".into()))?
            .try_clone_to_owned()
            .map_err(|e| failed(e.into()))?;
        MapData::from_fd(own)
            .and_then(Map::from_map_data)
            .and_then(T::try_from)
            .map_err(|e| failed(e.into()))
    }
}
